"""A dense prediction cell: the branches of a context module, as a small tree."""

import os
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mmbmtas.structures import cell_file as file
from mmbmtas.structures.documents import plain_json, read_document, write_document

Pair = tuple[int, int]
"""Of the height and of the width."""


@dataclass(frozen=True)
class Operation:
    """What a branch computes: a convolution or pyramid pooling (DPC paper, section 3.2).

    Attributes:
        op: ``conv`` (1x1, or depthwise separable and dilated) or ``pyramid_pooling``.
        kernel: Of a convolution: its sides, 1 or 3 each.
        rate: Of a convolution: its dilation; 1 on a side where the kernel is 1.
        grid_size: Of pooling: how many cells the map is divided into.
    """

    op: str
    kernel: Pair = (1, 1)
    rate: Pair = (1, 1)
    grid_size: Pair = (1, 1)

    @classmethod
    def from_dict(cls, branch: dict[str, Any]) -> 'Operation':
        """Build from a branch of a document whose form was checked."""
        sides = {key: file.pair(branch[key]) for key in file.SIDES if key in branch}
        return cls(branch['op'], **sides)

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of a branch that state this operation."""
        if self.op == file.POOLING:
            return {'op': self.op, 'grid_size': [*self.grid_size]}
        kernel = self.kernel[0] if len({*self.kernel}) == 1 else [*self.kernel]
        rate = {} if kernel == 1 else {'rate': [*self.rate]}
        return {'op': self.op, 'kernel': kernel, **rate}

    def clipped(self, size: Pair) -> 'Operation':
        """Return the operation that does the same on maps of a size, with the least numbers.

        Rates are clipped at the size, since from there on the outer taps lie in the padding, and
        grids too.
        """
        height, width = size
        rate = (min(self.rate[0], height), min(self.rate[1], width))
        grid = (min(self.grid_size[0], height), min(self.grid_size[1], width))
        return Operation(self.op, self.kernel, rate, grid)

    def __str__(self) -> str:
        if self.op == file.POOLING:
            return 'pool {}x{}'.format(*self.grid_size)
        if self.kernel == (1, 1):
            return '1x1'
        return '{}x{} rate {}x{}'.format(*self.kernel, *self.rate)


@dataclass(frozen=True)
class DenseCell:
    """Branches that each read the features or an earlier branch; all are concatenated.

    Two cells are equal if their branches are, in the same order. Cells that differ in the order
    alone compute the same; their :meth:`key` agrees.

    Example:
        >>> cell = DenseCell.from_branches([
        ...     {'input': -1, 'op': 'conv', 'kernel': 3, 'rate': [1, 6]},
        ...     {'input': 0, 'op': 'pyramid_pooling', 'grid_size': [2, 2]}])
        >>> cell.describe()
        '0 <- F 3x3 rate 1x6; 1 <- 0 pool 2x2'

    Attributes:
        inputs: For each branch the one before that it reads, or -1 for the features.
        operations: For each branch what it computes.
        madds: What the cell costs, if known: numbers by name. No matter for equality.
        source: Where the cell came from. No matter for equality.

    Raises:
        InputError: If one of them has another form.
    """

    inputs: tuple[int, ...]
    operations: tuple[Operation, ...]
    madds: dict[str, Any] | None = None
    source: str | dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ('madds', 'source'):
            object.__setattr__(self, name, plain_json(getattr(self, name), name))
        file.check_document(self.to_dict(), type(self).__name__)

    @classmethod
    def from_branches(
        cls, branches: Sequence[dict[str, Any]], where: str | os.PathLike = 'cell', **details: Any
    ) -> 'DenseCell':
        """Build from the list of branches, as public files and encoder configs have it.

        Args:
            branches: The branches, see :mod:`.cell_file`.
            where: What messages call the list.
            **details: ``madds`` and ``source``.

        Raises:
            InputError: A branch has another form.
        """
        file.check_branches(branches, where)
        return cls(
            tuple(branch['input'] for branch in branches),
            tuple(Operation.from_dict(branch) for branch in branches),
            **details,
        )

    @classmethod
    def from_dict(cls, document: Any, where: str | os.PathLike = 'cell') -> 'DenseCell':
        """Build from a document: ours, or a bare list of branches; ``where`` names it.

        Raises:
            InputError: If anything is missing, unknown or of another form.
        """
        if isinstance(document, (list, tuple)):
            return cls.from_branches(document, where)
        file.check_document(document, where)
        details = {key: document[key] for key in ('madds', 'source')}
        return cls.from_branches(document['branches'], where, **details)

    @classmethod
    def load(cls, path: str | os.PathLike) -> 'DenseCell':
        """Read ``cell.json``; the file is untrusted, so all of it is checked.

        Raises:
            InputError: If the file is too large, not JSON or not a cell; the message names the
                file, the key, what was found and what was expected.
            MissingFileError: There is no such file.
        """
        file.require_file(path)
        return cls.from_dict(read_document(path), path)

    def save(self, path: str | os.PathLike) -> None:
        """Write ``cell.json``; a file that was there is replaced only by a whole one."""
        write_document(self.to_dict(), path)

    def to_dict(self) -> dict[str, Any]:
        """Return the document that the file holds, see :mod:`.cell_file`."""
        return {
            'format': file.FORMAT,
            'version': file.VERSION,
            'branches': self.branches,
            'madds': deepcopy(self.madds),
            'source': deepcopy(self.source),
        }

    @property
    def branches(self) -> list[dict[str, Any]]:
        """The list of branches, as public files have it."""
        return [
            {'input': read, **operation.to_dict()}
            for read, operation in zip(self.inputs, self.operations, strict=True)
        ]

    def readers(self, branch: int) -> list[int]:
        """Which branches read a branch, or the features (-1)."""
        return [index for index, read in enumerate(self.inputs) if read == branch]

    def key(self, size: Pair | None = None) -> str:
        """Return a text that cells share if and only if they compute the same.

        Args:
            size: Height and width of the feature map; rates and grids beyond it make no
                difference. By default all of them do.

        Example:
            >>> one = {'input': -1, 'op': 'conv', 'kernel': 1}
            >>> other = {'input': -1, 'op': 'pyramid_pooling', 'grid_size': [1, 1]}
            >>> DenseCell.from_branches([one, other]).key()
            '(1x1)(pool 1x1)'
        """

        def tree(branch: int) -> str:
            return ''.join(
                sorted(f'({texts[child]}{tree(child)})' for child in self.readers(branch))
            )

        operations = [op.clipped(size) if size else op for op in self.operations]
        texts = [str(operation) for operation in operations]
        return tree(-1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DenseCell):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @cached_property
    def _identity(self) -> tuple[tuple[int, ...], tuple[Operation, ...]]:
        return self.inputs, self.operations

    def describe(self) -> str:
        """Say in a line what each branch reads and computes; F is the features."""
        return '; '.join(
            f'{index} <- {"F" if read < 0 else read} {operation}'
            for index, (read, operation) in enumerate(
                zip(self.inputs, self.operations, strict=True)
            )
        )

    def draw(self) -> str:
        """Draw the cell as a tree of text, one branch per line.

        Example:
            >>> print(DenseCell.from_branches([
            ...     {'input': -1, 'op': 'conv', 'kernel': 3, 'rate': [1, 6]},
            ...     {'input': 0, 'op': 'pyramid_pooling', 'grid_size': [2, 2]},
            ...     {'input': -1, 'op': 'conv', 'kernel': 1}]).draw())
            F
            |-- 0: 3x3 rate 1x6
            |   `-- 1: pool 2x2
            `-- 2: 1x1
        """
        return '\n'.join(['F', *self._lines(-1)])

    def _lines(self, branch: int, indent: str = '') -> Iterator[str]:
        children = self.readers(branch)
        for child in children:
            corner, below = ('`-- ', '    ') if child == children[-1] else ('|-- ', '|   ')
            yield f'{indent}{corner}{child}: {self.operations[child]}'
            yield from self._lines(child, indent + below)
