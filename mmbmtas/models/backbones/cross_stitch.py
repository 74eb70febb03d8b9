"""Cross-Stitch networks: tasks mix their features by learned weights."""

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from mmbmtas.registry import MODELS

from .exchange_network import ExchangeNetwork


class CrossStitchUnit(nn.Module):
    """Linear combinations of the tasks' features, one scalar for each pair of tasks.

    One scalar serves a whole feature tensor, not one a channel, as in the paper (Appendix B).

    Args:
        num_tasks: Number of tasks ``T``.
        alpha: Initial weight of a task's own features.
        beta: Initial weight of each other task's.
    """

    def __init__(self, num_tasks: int, alpha: float, beta: float) -> None:
        super().__init__()
        own = torch.eye(num_tasks)
        self.weight = nn.Parameter(alpha * own + beta * (1 - own))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Give task ``i`` the sum over ``j`` of ``weight[i, j]`` times the features of ``j``.

        Maps times scalars, no product of matrices: multiply-adds do not count them, as they do not
        count MTAN's masks (so the paper has it).
        """
        return [
            reduce(add, (weight * maps for weight, maps in zip(row, features, strict=True)))
            for row in map(torch.unbind, self.weight)
        ]


@MODELS.register_module()
class CrossStitchNetwork(ExchangeNetwork):
    """Cross-Stitch network: encoders joined by one :class:`CrossStitchUnit` per stage.

    Misra et al., Cross-Stitch Networks for Multi-Task Learning, CVPR 2016. The arguments are those
    of :class:`ExchangeNetwork`.

    Example:
        >>> network = CrossStitchNetwork(['semseg', 'edge'], {'type': 'MobileNetV2Encoder'})
        >>> len(network.units), network.units[0].weight.tolist()[0]
        (8, [0.8999999761581421, 0.10000000149011612])
    """

    def build_unit(self, channels: int) -> CrossStitchUnit:
        """Build a unit, whatever the number of channels."""
        return CrossStitchUnit(len(self.tasks), self.alpha, self.beta)
