"""Uncertainty weighting."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbmtas.registry import MODELS

from .base import LossBalancing


@MODELS.register_module()
class UncertaintyWeighting(LossBalancing):
    """Weigh a task by a noise level that is learnt with the network (Kendall et al., CVPR 2018).

    Minimised is ``sum over tasks of exp(-s) L / 2 + s / 2``, ``s`` the logarithm of the task's
    variance, 0 at first. The network's optimiser learns it as any other weight. For a constant
    loss the best ``s`` is ``log L``, where each task adds the same to the gradient of ``s``,
    whatever its scale.

    Args:
        tasks: Names of all tasks; the segmentor gives them.

    Example:
        >>> model = dict(loss_balancing=dict(type='UncertaintyWeighting'))
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        # One parameter a task: one that a batch lacks gets no gradient, hence no step either.
        self.log_variances = nn.ParameterDict(
            {task: nn.Parameter(torch.zeros(())) for task in self.tasks}
        )

    def weight(self, task: str) -> Tensor:
        """Return ``exp(-s) / 2``."""
        return (-self.log_variances[task]).exp() / 2

    def objective(self, task: str, loss: Tensor) -> Tensor:
        """Return ``exp(-s) L / 2 + s / 2``."""
        return self.weight(task) * loss + self.log_variances[task] / 2
