"""Uncertainty weighting."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbmtas.registry import MODELS

from .base import LossBalancing


@MODELS.register_module()
class UncertaintyWeighting(LossBalancing):
    """Weigh a task by a noise level that is learnt with the network (Kendall et al., CVPR 2018).

    It minimises ``sum over tasks of exp(-s) L / 2 + s / 2``. ``s`` is the logarithm of the task's
    variance, at first 0. The network's optimiser learns it like any other weight. For a constant
    loss the best ``s`` is ``log L``. There each task adds the same to the gradient of ``s``, at any
    scale of its loss.

    Args:
        tasks: Names of all tasks; the segmentor gives them.

    Example:
        >>> model = dict(loss_balancing=dict(type='UncertaintyWeighting'))
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        # One parameter per task: without a label in a batch it gets no gradient and no step.
        self.log_variances = nn.ParameterDict(
            {task: nn.Parameter(torch.zeros(())) for task in self.tasks}
        )

    def weight(self, task: str) -> Tensor:
        """Return ``exp(-s) / 2``."""
        return (-self.log_variances[task]).exp() / 2

    def objective(self, task: str, loss: Tensor) -> Tensor:
        """Return ``exp(-s) L / 2 + s / 2``."""
        return self.weight(task) * loss + self.log_variances[task] / 2
