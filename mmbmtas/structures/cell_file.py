"""The file of a dense prediction cell, ``cell.json``: a small JSON document.

This module checks a document's form, key by key, since the file may come from a stranger. What a
document means is the matter of :class:`~mmbmtas.structures.cell.DenseCell`.

======================  ==========================================================================
key                     value
======================  ==========================================================================
``format``              ``"mmbmtas.cell"``
``version``             1
``branches``            1 to 16 branches, see below
``madds``               null, or numbers and lists of numbers by name
``source``              null, or text or an object: where the cell came from
======================  ==========================================================================

A branch has ``input`` (-1 for the features, or the number of an earlier branch, from 0), ``op`` and
what the operation needs. A side is a whole number for both sides, or a list of height and width:

======================  ==========================================================================
``op``                  further keys
======================  ==========================================================================
``conv``                ``kernel``: 1 or 3; with a kernel of 3 also ``rate``: 1 to 64
``pyramid_pooling``     ``grid_size``: 1 to 64
======================  ==========================================================================

The public DeepLab code has the bare list of branches as its file; it is read too.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmbmtas.errors import MissingFileError

from .architecture_file import is_madds
from .documents import SOURCE_CHECK, check_keys, expect, fail, is_count

FORMAT = 'mmbmtas.cell'
VERSION = 1
MAX_BRANCHES = 16
MAX_SIDE = 64
CONV, POOLING = 'conv', 'pyramid_pooling'
SIDES = ('kernel', 'rate', 'grid_size')
"""The keys whose values are of height and width."""


def is_cell(document: Any) -> bool:
    """Tell whether a document means to be a cell: a list, or an object of this format."""
    return isinstance(document, list) or (
        isinstance(document, dict) and document.get('format') == FORMAT
    )


def check_document(document: Any, where: str | os.PathLike) -> None:
    """Check a document of our form, all but what is inside the branches.

    Args:
        document: What was read.
        where: The file's name, for the message.

    Raises:
        InputError: If anything is missing, unknown or of another form; the message names the file,
            the key, what was found there and what was expected.
    """
    if not isinstance(document, (list, dict)):
        expect(False, where, 'document', document, 'a JSON object, or a list of branches')
    check_keys(document, where, FORMAT, VERSION, _CHECKS)
    check_branches(document['branches'], where, 'branches')


def check_branches(branches: Any, where: str | os.PathLike, key: str = '') -> None:
    """Check a list of branches.

    Args:
        branches: The list.
        where: The file's name, for the message.
        key: What messages call the list inside the file.

    Raises:
        InputError: As :func:`check_document` does.
    """
    listed = isinstance(branches, Sequence) and not isinstance(branches, str)
    expected = f'a list of 1 to {MAX_BRANCHES} branches'
    expect(listed, where, key or 'document', branches, expected)
    count = len(branches)
    expect(1 <= count <= MAX_BRANCHES, where, key or 'document', f'{count} branches', expected)
    for index, branch in enumerate(branches):
        _check_branch(branch, index, where, f'{key}[{index}]')


def _check_branch(branch: Any, index: int, where: str | os.PathLike, key: str) -> None:
    """Check what the branch at a position has."""
    expect(isinstance(branch, dict), where, key, branch, 'an object')
    for name in ('input', 'op'):
        if name not in branch:
            fail(where, f'{key}.{name}', 'nothing', 'this key')
    read, op = branch['input'], branch['op']
    earlier = isinstance(read, int) and not isinstance(read, bool) and -1 <= read < index
    which = f'-1 (the features) to {index - 1}, a branch before this one' if index else '-1'
    expect(earlier, where, f'{key}.input', read, which)
    known = isinstance(op, str) and op in (CONV, POOLING)
    expect(known, where, f'{key}.op', op, f'{CONV!r} or {POOLING!r}')
    needed = ['grid_size'] if op == POOLING else ['kernel']
    allowed = {'input', 'op', *needed, *(['rate'] if op == CONV else [])}
    for name in needed:
        if name not in branch:
            fail(where, f'{key}.{name}', 'nothing', f'this key, which {op!r} needs')
    if unknown := [name for name in branch if name not in allowed]:
        what = f'only {", ".join(sorted(allowed))} beside {op!r}'
        fail(where, f'{key}.{unknown[0]}', 'an unknown key', what)
    for name, (is_side, expected) in _SIDES.items():
        if name in branch:
            fits = _is_pair(branch[name], is_side)
            expect(fits, where, f'{key}.{name}', branch[name], f'{expected}, or two of them')
    if op == CONV:
        kernel = pair(branch['kernel'])
        if kernel != (1, 1) and 'rate' not in branch:
            fail(
                where, f'{key}.rate', 'nothing', f'this key, which kernel {branch["kernel"]} needs'
            )
        for side, rate in zip(kernel, pair(branch.get('rate', 1)), strict=True):
            meant = side > 1 or rate == 1
            expect(meant, where, f'{key}.rate', branch.get('rate'), '1 where the kernel is 1')


def require_file(path: str | os.PathLike) -> None:
    """Refuse a path at which there is no file.

    Raises:
        MissingFileError: There is none.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{os.fspath(path)} is not a cell file: there is no such file')


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Return the numbers of height and width; one number is for both."""
    height, width = (value, value) if isinstance(value, int) else value
    return height, width


def _is_pair(value: Any, is_side: Callable[[Any], bool]) -> bool:
    """Tell whether a value is one side, or a list of two."""
    if isinstance(value, (list, tuple)):
        return len(value) == 2 and all(map(is_side, value))
    return is_side(value)


def _is_kernel(value: Any) -> bool:
    return is_count(value) and value in (1, 3)


def _is_side(value: Any) -> bool:
    return is_count(value) and 1 <= value <= MAX_SIDE


_SIDES: dict[str, tuple[Callable[[Any], bool], str]] = {
    'kernel': (_is_kernel, '1 or 3'),
    'rate': (_is_side, f'a whole number from 1 to {MAX_SIDE}'),
    'grid_size': (_is_side, f'a whole number from 1 to {MAX_SIDE}'),
}
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    'format': (lambda value: isinstance(value, str), 'text'),
    'version': (is_count, 'an integer'),
    'branches': (
        lambda value: isinstance(value, list),
        f'a list of 1 to {MAX_BRANCHES} branches',
    ),
    'madds': (
        lambda value: value is None or is_madds(value),
        'null, or non-negative numbers or lists of them by name',
    ),
    'source': SOURCE_CHECK,
}
