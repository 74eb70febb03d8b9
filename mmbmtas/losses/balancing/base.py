"""The base of all ways to weight the tasks' losses."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine import dist
from torch import Tensor, nn

from mmbmtas.devices import to_device
from mmbmtas.registry import MODELS, build_kind


class LossBalancing(nn.Module):
    """Weights of the tasks' losses, learnt while the network trains.

    The segmentor minimises the sum of :meth:`objective` over the tasks of a batch and logs
    :meth:`weight` as ``<task>.weight``. A task's loss is the sum of its entries
    ``<task>.loss_...``, which already contain the heads' own ``loss_weight``. Before a step, the
    segmentor passes the losses to :meth:`observe`. A task without a label in the batch keeps its
    weight.

    In evaluation mode nothing is learnt and the weights do not change. The architecture phases of a
    search run in this mode.

    Args:
        tasks: Names of all tasks.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self._waits = False

    def bind(self, model: Any) -> None:
        """Look up what the weights depend on in the network; called once, when it is built."""

    def weight(self, task: str) -> Tensor:
        """Return the current weight of a task, a scalar."""
        raise NotImplementedError

    def objective(self, task: str, loss: Tensor) -> Tensor:
        """Return the scalar to minimise for a task with this loss."""
        return self.weight(task) * loss

    def observe(self, losses: Mapping[str, Tensor], labelled: Collection[str]) -> None:
        """Learn from the losses of an iteration.

        All ranks must call this together, and end with the same weights.

        Args:
            losses: Each task's loss on this rank, a scalar with its graph.
            labelled: Which of these tasks have a label on this rank; others have a loss of 0.
        """
        if self.training:
            self._record(losses, labelled)
            if not self._waits:
                self._learn()

    @contextmanager
    def one_iteration(self) -> Iterator[None]:
        """Learn once, at the end, from all losses observed within; tasks come one by one."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
        if self.training:
            self._learn()

    def _record(self, losses: Mapping[str, Tensor], labelled: Collection[str]) -> None:
        """Record the losses for the end of the iteration."""

    def _learn(self) -> None:
        """Change the weights at the end of an iteration."""

    def _positions(self, tasks: Collection[str], device: torch.device) -> Tensor:
        """Return the indices of some tasks among all tasks."""
        return to_device(torch.tensor([self.tasks.index(task) for task in tasks]), device)


def build_loss_balancing(cfg: Mapping[str, Any], tasks: Sequence[str]) -> LossBalancing:
    """Build a registered :class:`LossBalancing` for some tasks.

    Raises:
        ValueError: This type is not registered, or it takes other arguments.
    """
    return build_kind(MODELS, cfg, LossBalancing, 'loss_balancing', tasks=tasks)


def without_balancing(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove from a network's weights those that only balance its losses in training."""
    return {name: w for name, w in weights.items() if not name.startswith('loss_balancing.')}


def mean_over_ranks(losses: Mapping[str, Tensor], labelled: Collection[str]) -> dict[str, Tensor]:
    """Average each task's loss over the ranks that have a label of it.

    Args:
        losses: Each task's loss on this rank; at least one rank has a label of each.
        labelled: Tasks that have a label on this rank.
    """
    if not losses:
        return {}
    values = torch.stack([loss.detach().float() for loss in losses.values()])
    present = to_device(torch.tensor([float(task in labelled) for task in losses]), values.device)
    sums = torch.stack([values * present, present])
    dist.all_reduce(sums)
    return dict(zip(losses, sums[0] / sums[1], strict=True))
