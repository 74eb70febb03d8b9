"""Which cells a search tries: uniform ones, and neighbours of the best so far.

Cells are proposed by generations. Those of a generation depend on the seed, its number and the
results of earlier ones alone, so that it makes no difference how many processes try them, in which
order they finish, and whether they were killed meanwhile.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from mmbmtas.errors import InputError
from mmbmtas.structures import CellSpace, DenseCell
from mmbmtas.structures.cell import Pair
from mmbmtas.structures.cell_space import Mutation
from mmbmtas.structures.values import require_count, require_share

_TRIES = 20_000
"""Cells drawn for a place until a new one is found; a space may have few that differ."""


@dataclass(frozen=True)
class Tried:
    """A cell that was tried.

    Attributes:
        trial: Its number.
        cell: The cell; None is a context module that is no cell.
        key: The cell's key on the trials' feature map.
        score: What it reached, the more the better; None where it was not trained to the end.
    """

    trial: int
    cell: DenseCell | None
    key: str | None
    score: float | None


@dataclass(frozen=True)
class Proposal:
    """A cell to try.

    Attributes:
        cell: The cell.
        parent: The trial whose cell it is a neighbour of; None is a cell of its own.
    """

    cell: DenseCell
    parent: int | None = None


@dataclass(frozen=True)
class NearBestRule:
    """The DPC paper's mix of uniform cells and neighbours of the best; its shares are ours.

    Args:
        space: The cells.
        p_near: Probability of a neighbour.
        pool: How many of the best have neighbours tried, each with equal chance.
        warm: How many cells are uniform at first.
        mutation: How neighbours are drawn, see :meth:`CellSpace.mutate`.
        generation: Cells that are proposed at a time.
        size: Feature map of the trials: cells that compute the same on it are tried once.
        affordable: Tells of a cell whether it keeps to the budget; others are not proposed.

    Raises:
        InputError: A number means nothing.
    """

    space: CellSpace
    p_near: float = 0.5
    pool: int = 10
    warm: int = 20
    mutation: Mutation = 'field'
    generation: int = 16
    size: Pair | None = None
    affordable: Callable[[DenseCell], bool] = lambda cell: True

    def __post_init__(self) -> None:
        require_share('p_near of NearBest', self.p_near)
        require_count('pool of NearBest', self.pool)
        require_count('warm of NearBest', self.warm, least=0)
        require_count('generation of NearBest', self.generation)
        if self.mutation not in get_args(Mutation):
            raise InputError(
                f'mutation {self.mutation!r} of NearBest: not in {[*get_args(Mutation)]}'
            )

    def propose(self, seed: int, number: int, earlier: Sequence[Tried]) -> list[Proposal]:
        """Propose the cells of a generation.

        Args:
            seed: Of the search.
            number: Of the generation, from 0.
            earlier: All that was tried in earlier generations.

        Raises:
            InputError: So few cells differ, or are affordable, that no new one was found.
        """
        rng = np.random.default_rng([seed, number])
        seen = {tried.key for tried in earlier if tried.key is not None}
        ranked = [tried for tried in earlier if tried.score is not None and tried.cell is not None]
        ranked.sort(key=lambda tried: (-(tried.score or 0.0), tried.trial))
        ranked = [*itertools.islice((t for t in ranked if t.cell in self.space), self.pool)]
        proposals: list[Proposal] = []
        for place in range(self.generation):
            warm = number * self.generation + place < self.warm
            proposal = self._new(rng, [] if warm else ranked, seen)
            seen.add(proposal.cell.key(self.size))
            proposals.append(proposal)
        return proposals

    def _new(self, rng: np.random.Generator, ranked: Sequence[Tried], seen: set[str]) -> Proposal:
        """Draw until a cell is new and affordable."""
        near = bool(ranked) and rng.random() < self.p_near
        for _ in range(_TRIES):
            proposal = self._neighbour(rng, ranked) if near else Proposal(self.space.sample(rng))
            if proposal.cell.key(self.size) not in seen and self.affordable(proposal.cell):
                return proposal
        different = self.space.count_different(self.size)
        raise InputError(
            f'no new cell was found in {_TRIES} draws: {different:,} cells of the space differ, '
            f'{len(seen)} were tried, and others may be above the budget; ask for fewer trials, '
            'or state more branches, rates or grids'
        )

    def _neighbour(self, rng: np.random.Generator, ranked: Sequence[Tried]) -> Proposal:
        """Draw a neighbour of one of the best."""
        parent = ranked[int(rng.integers(len(ranked)))]
        assert parent.cell is not None
        return Proposal(self.space.mutate(parent.cell, rng, self.mutation), parent.trial)
