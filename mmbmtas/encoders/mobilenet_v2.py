"""MobileNetV2 as stem and layers, from mmseg's inverted residuals."""

import re
from collections.abc import Iterator
from typing import Any

from mmseg.models.backbones import MobileNetV2
from mmseg.models.utils import InvertedResidual, make_divisible
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.registry import TASK_UTILS
from mmbmtas.structures.values import require_positive

from .blocks import BlockEncoder, build_conv_stem, stage

_STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the first block of each stage


@TASK_UTILS.register_module()
class MobileNetV2Encoder(BlockEncoder):
    """MobileNetV2 (17 inverted residuals) and R-ASPP, at output stride 16.

    In the last stage that halves the resolution (6) the first block has stride 1 and dilation 1;
    all later blocks, through block 17, have dilation 2. (mmseg's backbone dilates only the first
    block of a stage.)

    Args:
        widen_factor: Width multiplier of all channels but R-ASPP's, above 0, at most 16.
        context_channels: Channels of R-ASPP's branches and output, 128 by default.
        norm_cfg: Normalisation of every convolution.
        context: Another context module: ``dict(type='DensePredictionCell', cell=FILE)``, or other
            arguments of R-ASPP, see :class:`ContextModule`.

    Raises:
        InputError: A number means nothing.

    Example:
        >>> encoder = MobileNetV2Encoder()
        >>> encoder.num_layers, encoder.low_level_channels
        (18, 24)
    """

    act_cfg = dict(type='ReLU6')  # noqa: RUF012

    def __init__(
        self,
        widen_factor: float = 1.0,
        context_channels: int | None = None,
        norm_cfg: dict | None = None,
        context: dict[str, Any] | None = None,
    ) -> None:
        self.widen_factor = require_positive(
            'widen_factor of MobileNetV2Encoder', widen_factor, most=16
        )
        self.stem_channels = make_divisible(32 * widen_factor, 8)
        super().__init__(context_channels, norm_cfg, context)

    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        for index, (expand_ratio, channels, repeats) in enumerate(MobileNetV2.arch_settings):
            yield from stage(
                f'layer{index + 1}',
                repeats,
                _STRIDES[index],
                out_channels=make_divisible(channels * self.widen_factor, 8),
                expand_ratio=expand_ratio,
            )

    def build_stem(self) -> nn.Module:
        """Build the first convolution, 3 channels to ``32 * widen_factor`` at stride 2."""
        return build_conv_stem(self.stem_channels, self.norm_cfg, self.act_cfg)

    def _build_block(self, **block: Any) -> InvertedResidual:
        return InvertedResidual(**block, norm_cfg=self.norm_cfg)

    def _block_norm(self, block: Any) -> _BatchNorm:
        """Return the normalisation of the linear bottleneck."""
        return block.conv[-1].norm

    def translate(self, key: str) -> str | None:
        """Translate a key of mmpretrain's, mmseg's or torchvision's MobileNetV2."""
        if key.startswith(('conv2.', 'features.18.', 'classifier.')):
            return None
        if match := re.fullmatch(r'conv1\.(.+)', key):
            return f'stem.{match[1]}'
        if match := re.fullmatch(r'(layer\d+\.\d+)\.(.+)', key):
            return f'layers.{self._block_of[match[1]]}.{match[2]}'
        if match := re.fullmatch(r'features\.0\.([01])\.(.+)', key):
            return f'stem.{("conv", "bn")[int(match[1])]}.{match[2]}'
        if match := re.fullmatch(r'features\.(\d+)\.conv\.(.+)', key):
            layer = int(match[1]) - 1
            return f'layers.{layer}.conv.{_translate_inside(match[2], expands=layer > 0)}'
        raise KeyError(key)

    def _options(self) -> dict[str, Any]:
        return dict(widen_factor=self.widen_factor)


def _translate_inside(name: str, expands: bool) -> str:
    """Translate a name inside one of torchvision's blocks, whose linear convolution stands bare."""
    if match := re.fullmatch(r'(\d)\.([01])\.(\w+)', name):
        return f'{match[1]}.{("conv", "bn")[int(match[2])]}.{match[3]}'
    position, _, parameter = name.partition('.')
    linear = 1 + expands
    if position == str(linear):
        return f'{linear}.conv.{parameter}'
    if position == str(linear + 1):
        return f'{linear}.bn.{parameter}'
    raise KeyError(name)
