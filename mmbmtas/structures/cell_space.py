"""The cells that a search chooses among (DPC paper, section 3.2)."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from mmbmtas.errors import InputError
from mmbmtas.structures.cell import DenseCell, Operation, Pair
from mmbmtas.structures.cell_file import CONV, MAX_BRANCHES, MAX_SIDE, POOLING
from mmbmtas.structures.values import require_count

Change = Literal['input', 'operation', 'branch']
"""What a neighbour of a cell has otherwise: an input, an operation, or both of a branch."""
Mutation = Literal['field', 'branch']
"""How a neighbour is drawn, see :meth:`CellSpace.mutate`."""


@dataclass(frozen=True)
class CellSpace:
    """All cells of some branches: each reads the features or an earlier branch.

    The operations are a 1x1 convolution, a 3x3 separable one for each pair of rates, and pooling
    for each pair of grid sizes. Cells that differ in the order of branches alone compute the same,
    so that far fewer differ than there are.

    Args:
        branches: Number of branches, 1 to 16.
        rates: Dilations of a convolution's side, in rising order.
        grids: Cells of pooling on a side, in rising order.

    Raises:
        InputError: One of them has another form.

    Example:
        >>> space = CellSpace()
        >>> space.size, space.count_different()
        (418414128120, 37888452756)
    """

    branches: int = 5
    rates: tuple[int, ...] = (1, 3, 6, 9, 12, 15, 18, 21)
    grids: tuple[int, ...] = (1, 2, 4, 8)

    def __post_init__(self) -> None:
        require_count('branches of CellSpace', self.branches, most=MAX_BRANCHES)
        for name in ('rates', 'grids'):
            sides = getattr(self, name)
            listed = isinstance(sides, Sequence) and not isinstance(sides, str)
            if not listed or not sides:
                raise InputError(f'{name} {sides!r} of CellSpace: expected one or more numbers')
            for side in sides:
                require_count(f'{name} of CellSpace', side, most=MAX_SIDE)
            if [*sides] != sorted({*sides}):
                raise InputError(f'{name} {sides!r} of CellSpace: expected in rising order')
            object.__setattr__(self, name, tuple(sides))

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """The operations that a branch may use."""
        return (
            Operation(CONV),
            *(Operation(CONV, (3, 3), rate) for rate in itertools.product(self.rates, self.rates)),
            *(
                Operation(POOLING, grid_size=grid)
                for grid in itertools.product(self.grids, self.grids)
            ),
        )

    @cached_property
    def _known(self) -> frozenset[Operation]:
        return frozenset(self.operations)

    @property
    def size(self) -> int:
        """Number of cells, counting every order of branches."""
        return math.factorial(self.branches) * len(self.operations) ** self.branches

    def different_operations(self, size: Pair | None = None) -> int:
        """Number of operations that differ on maps of a size, or on any."""
        return len({op.clipped(size) if size else op for op in self.operations})

    def count_different(self, size: Pair | None = None) -> int:
        """Count the cells that differ whatever the order of branches, on maps of a size.

        A cell is a rooted tree whose nodes, all but the root, bear an operation. From the number of
        trees of each size whose root bears one too, the forests follow by the Euler transform.
        """
        colours = self.different_operations(size)
        forests, trees = [1], [0]
        for count in range(1, self.branches + 1):
            trees.append(colours * forests[count - 1])
            total = sum(
                sum(part * trees[part] for part in range(1, step + 1) if step % part == 0)
                * forests[count - step]
                for step in range(1, count + 1)
            )
            forests.append(total // count)
        return forests[self.branches]

    def __contains__(self, cell: object) -> bool:
        if not isinstance(cell, DenseCell):
            return False
        return len(cell.inputs) == self.branches and self._known.issuperset(cell.operations)

    def sample(self, rng: np.random.Generator) -> DenseCell:
        """Draw a cell, each order of branches as probable as any other."""
        inputs = tuple(int(rng.integers(-1, index)) for index in range(self.branches))
        return DenseCell(inputs, tuple(self._draw(rng) for _ in inputs))

    def neighbours(self, cell: DenseCell, change: Change = 'branch') -> Iterator[DenseCell]:
        """Yield the cells that differ from one in a single place.

        Args:
            cell: A cell of this space.
            change: ``input`` (another input of a branch), ``operation`` (another operation) or
                ``branch`` (another pair of both).
        """
        self._check(change, Change)
        for index, (read, operation) in enumerate(zip(cell.inputs, cell.operations, strict=True)):
            inputs = range(-1, index) if change != 'operation' else [read]
            operations = self.operations if change != 'input' else [operation]
            for other in itertools.product(inputs, operations):
                if other != (read, operation):
                    yield self._replaced(cell, index, *other)

    def mutate(
        self, cell: DenseCell, rng: np.random.Generator, mutation: Mutation = 'field'
    ) -> DenseCell:
        """Draw a neighbour of a cell.

        Args:
            cell: A cell of this space.
            rng: Where the numbers come from.
            mutation: ``branch`` draws a branch, then one of its other settings, all alike.
                ``field`` (ours) draws a branch and then, alike where each is possible: another
                input; the next rate or grid size, up or down, on one side; another operation.
        """
        self._check(mutation, Mutation)
        index = int(rng.integers(self.branches))
        read, operation = cell.inputs[index], cell.operations[index]
        if mutation == 'branch':
            settings = [*itertools.product(range(-1, index), self.operations)]
            settings.remove((read, operation))
            return self._replaced(cell, index, *settings[rng.integers(len(settings))])
        steps = self._steps(operation)
        inputs = [other for other in range(-1, index) if other != read]
        fields = ['operation', *(['input'] if inputs else []), *(['step'] if steps else [])]
        field = fields[rng.integers(len(fields))]
        if field == 'input':
            return self._replaced(cell, index, inputs[rng.integers(len(inputs))], operation)
        others = steps if field == 'step' else [op for op in self.operations if op != operation]
        return self._replaced(cell, index, read, others[rng.integers(len(others))])

    def _steps(self, operation: Operation) -> list[Operation]:
        """List the operations whose rate or grid is the next one on one side."""
        name, sides = ('grid_size', self.grids) if operation.op == POOLING else ('rate', self.rates)
        if operation.op == CONV and operation.kernel == (1, 1):
            return []
        own, found = getattr(operation, name), []
        for side, step in itertools.product((0, 1), (-1, 1)):
            place = sides.index(own[side]) + step
            if 0 <= place < len(sides):
                pair = (sides[place], own[1]) if side == 0 else (own[0], sides[place])
                kernel = operation.kernel
                found.append(Operation(operation.op, kernel, **{name: pair}))
        return found

    def _draw(self, rng: np.random.Generator) -> Operation:
        return self.operations[rng.integers(len(self.operations))]

    @staticmethod
    def _replaced(cell: DenseCell, index: int, read: int, operation: Operation) -> DenseCell:
        inputs, operations = [*cell.inputs], [*cell.operations]
        inputs[index], operations[index] = read, operation
        return DenseCell(tuple(inputs), tuple(operations))

    @staticmethod
    def _check(value: str, names: object) -> None:
        if value not in get_args(names):
            raise InputError(f'{value!r}: expected one of {[*get_args(names)]}')
