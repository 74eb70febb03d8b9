"""The phases of a search and the iterations that belong to them: only arithmetic."""

from dataclasses import dataclass, replace
from typing import Literal

from mmbmtas.errors import InputError
from mmbmtas.structures.values import require_fraction

Phase = Literal['shared', 'warmup', 'arch', 'weights']


@dataclass(frozen=True)
class Position:
    """Where an iteration stands in the search.

    Attributes:
        phase: ``shared``, ``warmup`` and ``weights`` train the model weights, ``arch`` the
            architecture parameters.
        index: Iterations since the phase began.
        epoch: Passes over the phase's split that were begun before this one.
        batch: Batches of this pass that were used before this one.
    """

    phase: Phase
    index: int
    epoch: int
    batch: int


@dataclass(frozen=True)
class SearchPlan:
    """Warm-up, then cycles of one epoch over each split (method section 2).

    A cycle is one pass over the architecture split, then one over the weight split. The search ends
    when the weights have had ``weight_iters`` iterations, those of the warm-up included.

    Attributes:
        weight_iters: Iterations of the weights.
        warmup_iters: How many of them are warm-up.
        weight_batches: Batches in a pass over the weight split.
        arch_batches: Batches in a pass over the architecture split.
        shared_iters: Iterations, the first of the warm-up, that train one shared network.

    Raises:
        ValueError: A split has no batch, the warm-up is longer than the search, or its shared
            part longer than the warm-up.

    Example:
        >>> plan = SearchPlan(weight_iters=10, warmup_iters=2, weight_batches=4, arch_batches=1)
        >>> plan.max_iters, [plan.position(i).phase for i in range(5)]
        (12, ['warmup', 'warmup', 'arch', 'weights', 'weights'])
    """

    weight_iters: int
    warmup_iters: int
    weight_batches: int
    arch_batches: int
    shared_iters: int = 0

    def __post_init__(self) -> None:
        for name in ('weight_iters', 'warmup_iters'):
            if not isinstance(count := getattr(self, name), int):
                raise InputError(f'train_cfg.{name} {count!r}: expected a whole number')
        if not 0 <= self.warmup_iters <= self.weight_iters:
            raise InputError(
                f'warmup_iters {self.warmup_iters}: expected 0 to weight_iters '
                f'{self.weight_iters} (train_cfg.warmup_iters)'
            )
        if not 0 <= self.shared_iters <= self.warmup_iters:
            raise InputError(
                f'shared_iters {self.shared_iters}: expected 0 to warmup_iters {self.warmup_iters}'
            )
        if min(self.weight_batches, self.arch_batches) < 1:
            raise InputError(
                f'an epoch of the search has {self.weight_batches} weight and {self.arch_batches} '
                'architecture batches: expected at least one each'
            )

    def with_shared_start(self, fraction: float) -> 'SearchPlan':
        """Return this plan with a share of the warm-up that trains one shared network.

        Args:
            fraction: From 0 to below 1; at least one iteration of the warm-up stays.

        Raises:
            InputError: It is not, or there is no warm-up to share.
        """
        if require_fraction('train_cfg.shared_fraction', fraction) and not self.warmup_iters:
            raise InputError(
                f'train_cfg.shared_fraction {fraction} of no warm-up: expected '
                'train_cfg.warmup_iters above 0'
            )
        iters = min(round(fraction * self.warmup_iters), max(self.warmup_iters - 1, 0))
        return replace(self, shared_iters=iters)

    @property
    def max_iters(self) -> int:
        """All iterations, those of the weights and of the architecture."""
        return self.weight_iters + self.arch_iters

    @property
    def arch_iters(self) -> int:
        """Iterations of the architecture parameters."""
        return self.cycles * self.arch_batches

    @property
    def cycles(self) -> int:
        """Cycles of the search; the last may be cut short."""
        return -((self.warmup_iters - self.weight_iters) // self.weight_batches)  # rounded up

    def position(self, iteration: int) -> Position:
        """Return the position of ``iteration``, from 0 to ``max_iters - 1``."""
        warm_epochs, warm_batch = divmod(min(iteration, self.warmup_iters), self.weight_batches)
        if iteration < self.shared_iters:
            return Position('shared', iteration, warm_epochs, warm_batch)
        if iteration < self.warmup_iters:
            return Position('warmup', iteration - self.shared_iters, warm_epochs, warm_batch)
        warm_epochs += warm_batch > 0
        cycle, step = divmod(iteration - self.warmup_iters, self.arch_batches + self.weight_batches)
        if step < self.arch_batches:
            return Position('arch', step, cycle, step)
        step -= self.arch_batches
        return Position('weights', step, warm_epochs + cycle, step)

    def progress(self, iteration: int, by_cycle: bool = False) -> float:
        """Return the share of the search after warm-up that is done: 0 in warm-up, 1 at the end.

        Args:
            iteration: From 0 to ``max_iters - 1``.
            by_cycle: Whether it grows from cycle to cycle only, and is 1 in all of the last.
        """
        if by_cycle:
            cycle = (iteration - self.warmup_iters) // (self.arch_batches + self.weight_batches)
            return max(cycle, 0) / max(self.cycles - 1, 1)
        last = self.max_iters - 1
        if iteration < self.warmup_iters or last <= self.warmup_iters:
            return 0.0
        return (iteration - self.warmup_iters) / (last - self.warmup_iters)
