"""Dynamic weight average."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS
from mmbmtas.structures.documents import is_count, is_positive_number

from .base import LossBalancing, mean_over_ranks


@MODELS.register_module()
class DynamicWeightAverage(LossBalancing):
    """Weigh a task by how slowly its loss falls (Liu et al., CVPR 2019, Eq. 7).

    ``w = T softmax(r / temperature)``, where ``r = L(t - 1) / L(t - 2)`` is the ratio of a task's
    mean losses in the last two windows of iterations. The paper's windows are epochs. Here a window
    is a number of iterations, because training counts iterations. Weights are 1 in the first two
    windows. A task without a label in a window keeps its ratio (both our choice).

    Args:
        tasks: Names of all tasks; the segmentor gives them.
        window: Iterations over which losses are averaged.
        temperature: Larger values make the weights more equal. The paper has 2.

    Raises:
        ValueError: ``window`` is below 1 or ``temperature`` not above 0.

    Example:
        >>> model = dict(loss_balancing=dict(type='DynamicWeightAverage', window=300))
    """

    task_weights: Tensor
    sums: Tensor
    counts: Tensor
    iterations: Tensor
    means: Tensor

    def __init__(self, tasks: Sequence[str], window: int = 100, temperature: float = 2.0) -> None:
        super().__init__(tasks)
        if not (is_count(window) and window >= 1 and is_positive_number(temperature)):
            raise InputError(
                f'window {window!r} and temperature {temperature!r} of DynamicWeightAverage: '
                'expected an integer of 1 or more and a number above 0'
            )
        self.window = window
        self.temperature = temperature
        count = len(self.tasks)
        self.register_buffer('task_weights', torch.ones(count))
        self.register_buffer('sums', torch.zeros(count))
        self.register_buffer('counts', torch.zeros(count))
        self.register_buffer('iterations', torch.zeros((), dtype=torch.long))
        # Mean losses in the two last windows with a label, the older first; NaN before there are.
        self.register_buffer('means', torch.full((2, count), torch.nan))

    def weight(self, task: str) -> Tensor:
        """Return the weight from the last two windows."""
        return self.task_weights[self.tasks.index(task)].clone()

    def _record(self, losses: Mapping[str, Tensor], labelled: Collection[str]) -> None:
        """Add the losses to those of the window."""
        if losses:
            index = self._positions(losses, self.sums.device)
            self.sums[index] += torch.stack([*mean_over_ranks(losses, labelled).values()])
            self.counts[index] += 1

    def _learn(self) -> None:
        """Count the iteration; at the end of a window, compute the next window's weights."""
        self.iterations += 1
        if self.iterations < self.window:
            return
        seen = self.counts > 0
        self.means[0] = torch.where(seen, self.means[1], self.means[0])
        self.means[1] = torch.where(seen, self.sums / self.counts, self.means[1])
        ratios = (self.means[1] / self.means[0]).nan_to_num(nan=1.0, posinf=1.0)  # unknown
        self.task_weights.copy_(len(self.tasks) * (ratios / self.temperature).softmax(dim=0))
        for tensor in (self.sums, self.counts, self.iterations):
            tensor.zero_()
