"""Names that config files assign at their top and that no file reads.

They decide no value: :mod:`mmbmtas.launch.overrides` refuses those that are stated in vain.
"""

import ast
import contextlib
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config


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
                bases += [_base_path(base, path) for base in _strings(statement.value)]
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


def _base_path(base: str, path: Path) -> Path:
    """Find the file that ``_base_`` names, which may be that of a package, ``mmbmtas::...``."""
    with contextlib.suppress(Exception):  # mmengine raises many kinds; reading the config tells
        return Path(Config._get_cfg_path(base, str(path))[0])
    return path.parent / base


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


def file_that_states(path: Path, name: str) -> Path | None:
    """Return the file that assigns a name last: the config itself, else one of its bases."""
    names = read_names(path)
    if name in names.assigned:
        return path
    found = (file_that_states(base, name) for base in reversed(names.bases))
    return next(filter(None, found), None)


def unread_names(
    path: Path, read: frozenset[str] = frozenset()
) -> Iterator[tuple[Path, frozenset[str], tuple[Path, ...]]]:
    """Yield a config and the files that it builds on, each with its names that no file reads.

    Names that begin with an underscore are private and are skipped.

    Args:
        path: The config.
        read: Names that files which build on this one read.

    Yields:
        A file, the names that it assigns and that neither it nor a file further on reads, and the
        files that it builds on.
    """
    names = read_names(path)
    read |= names.used
    private = {name for name in names.assigned if name[0] == '_'}
    yield path, names.assigned - read - private, names.bases
    for base in names.bases:
        yield from unread_names(base, read)
