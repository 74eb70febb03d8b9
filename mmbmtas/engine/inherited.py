"""What a config file says over its ``_base_``, made to reach what the base has computed from it."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Names:
    """What stands in a config file.

    Attributes:
        values: Expressions by the names at the file's top that they are assigned to.
        used: Names that the file reads.
        bases: The files of its ``_base_``.
    """

    values: dict[str, ast.expr] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    bases: Sequence[Path] = ()


def read_names(path: Path) -> Names:
    """Read a config file's names, without running it; of files other than Python none."""
    if path.suffix != '.py' or not path.is_file():
        return Names()
    try:
        content = ast.parse(path.read_text(encoding='utf-8'))
    except SyntaxError:  # until mmengine has put values for its placeholders
        return Names()
    names = Names()
    for statement in content.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    names.values[target.id] = statement.value
    names.used = {
        node.id
        for node in ast.walk(content)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    bases = _literal(names.values.get('_base_')) or []
    names.bases = [path.parent / base for base in ([bases] if isinstance(bases, str) else bases)]
    return names


def inherited_values(names: Names) -> dict[str, list[Any]]:
    """List what the bases of a config file, and theirs, assign to names.

    Args:
        names: The file's own.

    Returns:
        The literals by name; of an expression that is none, nothing but the name.
    """
    found: dict[str, list[Any]] = defaultdict(list)
    for ancestor in _ancestors(names):
        for name, expression in ancestor.values.items():
            value = _literal(expression)
            found[name] += [] if value is None else [value]
    return dict(found)


def _ancestors(names: Names) -> Iterator[Names]:
    for path in names.bases:
        base = read_names(path)
        yield base
        yield from _ancestors(base)


def _literal(expression: ast.expr | None) -> Any:
    """The value of an expression of nothing but literals, else None."""
    try:
        return None if expression is None else ast.literal_eval(expression)
    except ValueError:
        return None
