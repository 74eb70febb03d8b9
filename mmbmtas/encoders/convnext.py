"""ConvNeXt as stem and layers, from mmpretrain's blocks."""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from mmpretrain.models.backbones import ConvNeXt
from mmpretrain.models.backbones.convnext import ConvNeXtBlock
from mmpretrain.models.utils import build_norm_layer
from torch import Tensor, nn

from mmbmtas.registry import TASK_UTILS

from .base import ASPP
from .blocks import FamilyEncoder, stage

_LAYER_NORM = {'type': 'LN2d', 'eps': 1e-6}
# torchvision's parts of a block, and mmpretrain's.
_PARTS = {
    'block.0': 'depthwise_conv',
    'block.2': 'norm',
    'block.3': 'pointwise_conv1',
    'block.5': 'pointwise_conv2',
    'layer_scale': 'gamma',
}


@TASK_UTILS.register_module()
class ConvNeXtEncoder(FamilyEncoder):
    """ConvNeXt-T, -S or -B and ASPP, at output stride 16.

    The downsampling between two stages belongs to the first block of the second. In the last stage
    it keeps all pixels, and the stage's depthwise convolutions are dilated by 2.

    A block ends in a sum, with LayerNorm inside. So nothing of a candidate is without affine in a
    search, except of ASPP: its scale is learned, by the layer scale that multiplies what a block
    adds to its input. The final LayerNorm of classifiers is left out.

    Weights are torchvision's, ``torchvision://convnext_tiny``, or those of mmpretrain's
    ``convnext-tiny_32xb128_in1k``.

    Args:
        arch: ``tiny``, ``small`` or ``base``.
        context_channels, norm_cfg, context: See :class:`FamilyEncoder`.

    Example:
        >>> encoder = ConvNeXtEncoder(arch='tiny')
        >>> encoder.num_layers, encoder.low_level_channels
        (19, 96)
    """

    archs = ('tiny', 'small', 'base')
    stem_stride = 4
    usual_channels = 256
    usual_context = ASPP

    @property
    def stem_channels(self) -> int:  # type: ignore[override]
        """Channels of the stem's output."""
        return ConvNeXt.arch_settings[self.arch]['channels'][0]

    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        setting = ConvNeXt.arch_settings[self.arch]
        for index, repeats in enumerate(setting['depths']):
            channels = setting['channels'][index]
            yield from stage(f'stage{index + 1}', repeats, 2 if index else 1, out_channels=channels)

    def build_stem(self) -> nn.Module:
        """Build the 4x4 convolution at stride 4 and its LayerNorm."""
        return nn.Sequential(
            nn.Conv2d(3, self.stem_channels, 4, stride=4),
            build_norm_layer(_LAYER_NORM, self.stem_channels),
        )

    def _build_block(
        self, in_channels: int, out_channels: int, stride: int, dilation: int
    ) -> nn.Module:
        """Build mmpretrain's block, after a downsampling where a stage begins."""
        parts: dict[str, nn.Module] = {}
        if in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 2, stride=stride)
            down = {'0': build_norm_layer(_LAYER_NORM, in_channels), '1': conv}
            if stride == 1:
                dilation *= 2
                down = {'0': down['0'], 'pad': nn.ZeroPad2d((0, 1, 0, 1)), '1': conv}
            parts['downsample'] = nn.Sequential(OrderedDict(down))
        around = dict(kernel_size=7, padding=3 * dilation, dilation=dilation)
        parts['block'] = ConvNeXtBlock(out_channels, dw_conv_cfg=around, norm_cfg=_LAYER_NORM)
        return nn.Sequential(OrderedDict(parts))

    def _block_norm(self, block: Any) -> None:
        return None

    def translate(self, key: str) -> str | None:
        """Translate a key of mmpretrain's or torchvision's ConvNeXt."""
        if re.match(r'(norm3|classifier)\.', key):
            return None
        if match := re.fullmatch(r'stages\.(\d)\.(\d+)\.(.+)', key):
            return f'{self._place(int(match[1]), int(match[2]))}.block.{match[3]}'
        if match := re.fullmatch(r'downsample_layers\.(\d)\.([01]\.\w+)', key):
            return self._place_downsample(int(match[1]), match[2])
        if match := re.fullmatch(r'features\.([0246])\.([01]\.\w+)', key):
            return self._place_downsample(int(match[1]) // 2, match[2])
        if match := re.fullmatch(
            r'features\.([1357])\.(\d+)\.(block\.\d|layer_scale)(\.\w+|)', key
        ):
            place = self._place(int(match[1]) // 2, int(match[2]))
            return f'{place}.block.{_PARTS[match[3]]}{match[4]}'
        raise KeyError(key)

    def _place_downsample(self, stage: int, name: str) -> str:
        return f'{self._place(stage, 0)}.downsample.{name}' if stage else f'stem.{name}'

    def translate_state_dict(
        self, state_dict: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], list[str]]:
        """Translate a whole state dict; torchvision's layer scales have two axes more."""
        weights, unknown = super().translate_state_dict(state_dict)
        flat = {k: v.flatten() if k.endswith('.gamma') else v for k, v in weights.items()}
        return flat, unknown
