"""The decoder of one task: DeepLabv3+ without its context module, which the encoder ends in."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmseg.models.utils import resize
from torch import Tensor, nn

from mmbmtas.registry import MODELS
from mmbmtas.structures.values import require_count

from .task_head import TaskHead


@MODELS.register_module()
class DeepLabV3PlusHead(TaskHead):
    """Low-level and context features to one task's map (method section 4).

    Low-level features go to ``low_level_channels`` by a 1x1 convolution; the context is brought to
    their size, both are concatenated, two 3x3 convolutions follow, and a 1x1 with bias.

    Args:
        in_channels: Channels of the low-level and of the context features.
        channels: Channels of the 3x3 convolutions; the paper has 128 (MobileNetV2) or 256.
        num_classes: Channels of the output.
        low_level_channels: Channels the low-level features are projected to.
        separable: Whether the 3x3 convolutions are depthwise separable, as with MobileNetV2.
        act_cfg: Activation of the convolutions. By default ReLU6 where ``separable``, as the paper
            has it with MobileNetV2 (Appendix B), else ReLU; None for none.
        kwargs: What else :class:`TaskHead` takes.

    Raises:
        InputError: As :class:`TaskHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        low_level_channels: int = 48,
        separable: bool = False,
        act_cfg: dict[str, Any] | Literal['default'] | None = 'default',
        **kwargs: Any,
    ) -> None:
        if act_cfg == 'default':
            act_cfg = dict(type='ReLU6' if separable else 'ReLU')
        super().__init__(in_channels, channels, num_classes, act_cfg=act_cfg, **kwargs)
        where = f'{type(self).__name__} ({self.target_key})'
        require_count(f'low_level_channels of {where}', low_level_channels)
        low_level, context = in_channels
        layers = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=act_cfg)
        block = DepthwiseSeparableConvModule if separable else ConvModule
        self.low_level_projection = ConvModule(low_level, low_level_channels, 1, **layers)
        # It was initialised when it was built; mmengine would do so again, over `init_cfg`.
        self.low_level_projection.is_init = True
        self.refine = nn.Sequential(
            block(context + low_level_channels, channels, 3, padding=1, **layers),
            block(channels, channels, 3, padding=1, **layers),
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map ``(low_level, context)`` to ``(N, num_classes, H / 4, W / 4)``."""
        low_level, context = self._transform_inputs(inputs)
        low_level = self.low_level_projection(low_level)
        context = resize(
            context, low_level.shape[2:], mode='bilinear', align_corners=self.align_corners
        )
        return self.cls_seg(self.refine(torch.cat([context, low_level], dim=1)))
