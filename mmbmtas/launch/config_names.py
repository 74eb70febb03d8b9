"""Names that config files assign at their top, and those among them that nothing reads."""

import ast
import difflib
import importlib.util
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

_ALIKE = 0.9


@dataclass(frozen=True)
class Names:
    """Names in a config file.

    Attributes:
        assigned: Names that it assigns at its top.
        used: Names that it reads, its base's included.
        bases: The files that it builds on.
    """

    assigned: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    bases: tuple[Path, ...] = ()


def read_names(path: Path) -> Names:
    """Read the names of a Python config without running it; other files have none."""
    if path.suffix != '.py' or not path.is_file():
        return Names()
    text = path.read_text(encoding='utf-8')
    try:
        content = ast.parse(text)
    except SyntaxError:  # placeholders that mmengine has not yet replaced
        return Names()
    assigned, bases = set(), []
    for statement in content.body:
        if isinstance(statement, ast.Assign):
            names = {target.id for target in statement.targets if isinstance(target, ast.Name)}
            if names == {'_base_'}:
                bases += [path.parent / base for base in _strings(statement.value)]
            assigned |= names
        elif isinstance(statement, ast.With):  # with read_base(): from .base import *
            for line in statement.body:
                bases += _imported(line, path) if isinstance(line, ast.ImportFrom) else []
    used = {
        node.id
        for node in ast.walk(content)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    used |= set(re.findall(r'_base_\.(\w+)', text))
    return Names(frozenset(assigned - {'_base_'}), frozenset(used), tuple(bases))


def _strings(expression: ast.expr) -> list[str]:
    try:
        value = ast.literal_eval(expression)
    except ValueError:
        return []
    return [value] if isinstance(value, str) else [*value]


def _imported(statement: ast.ImportFrom, path: Path) -> list[Path]:
    """List the files that ``from module import names`` reads."""
    if statement.level == 0:
        spec = importlib.util.find_spec(statement.module or '')
        return [Path(spec.origin)] if spec is not None and spec.origin else []
    folder = path.parents[statement.level - 1]
    parts = statement.module.split('.') if statement.module else []
    if parts:
        return [folder.joinpath(*parts).with_suffix('.py')]
    return [folder / f'{alias.name}.py' for alias in statement.names]


def file_that_states(path: str | None, name: str) -> Path | None:
    """Return the file that assigns a name last: the config itself, else one of its bases."""
    if path is None:
        return None
    names = read_names(Path(path))
    if name in names.assigned:
        return Path(path)
    found = (file_that_states(str(base), name) for base in reversed(names.bases))
    return next(filter(None, found), None)


@dataclass(frozen=True)
class Idle:
    """A name that a config file assigns without effect.

    Attributes:
        path: The file.
        name: The name.
        base: The file that has already used the name; None for a misspelt name.
        meant: The name that a misspelt one stands for.
    """

    path: Path
    name: str
    base: Path | None = None
    meant: str | None = None


def idle_names(
    path: Path, known: Collection[str], used: frozenset[str] = frozenset()
) -> Iterator[Idle]:
    """Yield the names that a config, or a file that it builds on, assigns without effect.

    These are names that a base has already used, and names that resemble one of ``known``. Names
    that begin with an underscore are private and are skipped.

    Args:
        path: The config.
        known: Names that are read.
        used: Names that files which build on this one read.
    """
    names = read_names(path)
    used |= names.used
    for name in sorted(names.assigned - used - {*known}):
        if name[0] == '_':
            continue
        base = next(filter(None, (file_that_states(str(b), name) for b in names.bases)), None)
        meant = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
        if base is not None:
            yield Idle(path, name, base=base)
        elif meant:
            yield Idle(path, name, meant=meant[0])
    for base in names.bases:
        yield from idle_names(base, known, used)


def value_in(path: Path, name: str) -> object:
    """Return the value that a config file assigns to a name."""
    return Config.fromfile(path).get(name)
