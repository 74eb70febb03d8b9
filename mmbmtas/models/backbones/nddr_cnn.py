"""NDDR-CNN: tasks reduce the concatenation of all features to their own."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmbmtas.registry import MODELS
from mmbmtas.structures.values import filled_in_from

from .exchange_network import ExchangeNetwork

_RELU = {'type': 'ReLU'}


class NDDRLayer(nn.Module):
    """For each task a 1x1 convolution of all tasks' features, normalised and activated.

    Args:
        num_tasks: Number of tasks ``T``.
        channels: Channels ``C`` of each task's features.
        alpha: The convolution of a task begins with ``alpha`` times the identity for its own
            features.
        beta: And with ``beta`` times the identity for each other task's.
        norm_cfg: Normalisation.
        act_cfg: Activation, or None for none.
    """

    reductions: Any  # a ModuleList of ConvModules, which torch's annotations cannot say

    def __init__(
        self,
        num_tasks: int,
        channels: int,
        alpha: float,
        beta: float,
        norm_cfg: dict[str, Any],
        act_cfg: dict[str, Any] | None,
    ) -> None:
        super().__init__()
        self.reductions = nn.ModuleList(
            ConvModule(
                num_tasks * channels, channels, 1, bias=False, norm_cfg=norm_cfg, act_cfg=act_cfg
            )
            for _ in range(num_tasks)
        )
        identity = torch.eye(channels)[..., None, None]
        for task, reduction in enumerate(self.reductions):
            blocks = [beta * identity] * num_tasks
            blocks[task] = alpha * identity
            reduction.conv.weight.data.copy_(torch.cat(blocks, dim=1))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Map ``T`` features ``(N, C, H, W)`` to as many."""
        joined = torch.cat([*features], dim=1)
        return [reduction(joined) for reduction in self.reductions]


@MODELS.register_module()
class NDDRCNN(ExchangeNetwork):
    """NDDR-CNN: encoders joined by one :class:`NDDRLayer` per stage.

    Gao et al., NDDR-CNN: Layerwise Feature Fusing in Multi-Task CNNs by Neural Discriminative
    Dimensionality Reduction, CVPR 2019.

    Args:
        tasks: Task names, 2 to 16.
        encoder: Config of the encoder description.
        norm_cfg: Normalisation of the units, by default the encoder's with momentum 0.05.
        act_cfg: Activation of the units, by default ReLU; None for none. The paper has ReLU6 with
            MobileNetV2.
        kwargs: ``alpha``, ``beta``, ``dropout`` and ``init_cfg`` of :class:`ExchangeNetwork`.

    Example:
        >>> network = NDDRCNN(['semseg', 'edge'], {'type': 'MobileNetV2Encoder'})
        >>> [unit.reductions[0].out_channels for unit in network.units]
        [32, 16, 24, 32, 64, 96, 160, 320]
    """

    @filled_in_from('tasks', 'model.backbone.tasks')
    def __init__(
        self,
        tasks: Sequence[str],
        encoder: dict[str, Any],
        norm_cfg: dict[str, Any] | None = None,
        act_cfg: dict[str, Any] | None = _RELU,
        **kwargs: Any,
    ) -> None:
        self._unit_norm, self._unit_act = norm_cfg, act_cfg
        super().__init__(tasks, encoder, **kwargs)

    def build_unit(self, channels: int) -> NDDRLayer:
        """Build a unit for features of ``channels`` channels."""
        norm_cfg = self._unit_norm or {**self.encoder.norm_cfg, 'momentum': 0.05}
        return NDDRLayer(len(self.tasks), channels, self.alpha, self.beta, norm_cfg, self._unit_act)
