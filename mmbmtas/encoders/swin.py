"""Swin Transformer as stem and layers, from mmseg's blocks."""

import re
from collections.abc import Iterator
from typing import Any

from mmseg.models.backbones.swin import SwinBlock
from mmseg.models.utils import PatchEmbed, nchw_to_nlc
from mmseg.models.utils.embed import PatchMerging
from torch import Tensor, nn

from mmbmtas.registry import TASK_UTILS

from .blocks import FamilyEncoder, stage
from .tokens import TokenLayer

_DEPTHS = {'tiny': (2, 2, 6, 2), 'small': (2, 2, 18, 2)}
_HEADS = (3, 6, 12, 24)
_LAYER_NORM = {'type': 'LN'}


@TASK_UTILS.register_module()
class SwinEncoder(FamilyEncoder):
    """Swin-T or -S, with windows of 7, and R-ASPP, at output stride 32.

    The merging of patches between two stages belongs to the first block of the second.

    Blocks end in a sum, with LayerNorm inside. So in a search a candidate keeps all its parameters;
    only R-ASPP's projection is without affine. The LayerNorms that other networks put behind a
    stage for their decoders are left out.

    Weights are ``mmcls://swin_tiny`` or ``_small``, or mmseg's conversions of the published ones.

    Args:
        arch: ``tiny`` or ``small``.
        context_channels, norm_cfg, context: See :class:`FamilyEncoder`.

    Example:
        >>> encoder = SwinEncoder(arch='tiny')
        >>> encoder.num_layers, encoder.low_level_channels
        (13, 96)
    """

    archs = tuple(_DEPTHS)
    stem_channels = 96
    stem_stride = 4
    output_stride = 32

    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        for index, (heads, repeats) in enumerate(zip(_HEADS, _DEPTHS[self.arch], strict=True)):
            channels = self.stem_channels * 2**index
            options = dict(out_channels=channels, num_heads=heads)
            for repeat, block in enumerate(
                stage(f'stage{index + 1}', repeats, 2 if index else 1, **options)
            ):
                yield block | {'shift': repeat % 2 == 1}

    def build_stem(self) -> nn.Module:
        """Build the patch embedding: a 4x4 convolution at stride 4 and LayerNorm."""
        return TokenLayer(PatchEmbed(3, self.stem_channels, kernel_size=4, norm_cfg=_LAYER_NORM))

    def _build_block(
        self, in_channels: int, out_channels: int, stride: int, dilation: int, **block: Any
    ) -> nn.Module:
        """Build mmseg's block, after a merging where a stage begins; no stride is kept."""
        merging = _Merging(in_channels, out_channels) if stride > 1 else None
        return TokenLayer(
            merging,
            SwinBlock(
                out_channels,
                feedforward_channels=4 * out_channels,
                norm_cfg=_LAYER_NORM,
                **block,
            ),
        )

    def _block_norm(self, block: Any) -> None:
        return None

    def translate(self, key: str) -> str | None:
        """Translate a key of mmseg's or mmpretrain's SwinTransformer."""
        if re.match(r'norm[0-3]?\.', key) or key.endswith('.attn.attn_mask'):  # of old mmcls
            return None
        if match := re.fullmatch(r'patch_embed\.(.+)', key):
            return f'stem.embed.{match[1]}'
        if match := re.fullmatch(r'stages\.(\d)\.blocks\.(\d+)\.(.+)', key):
            return f'{self._place(int(match[1]), int(match[2]))}.block.{match[3]}'
        if match := re.fullmatch(r'stages\.([012])\.downsample\.(.+)', key):
            return f'{self._place(int(match[1]) + 1, 0)}.embed.{match[2]}'
        raise KeyError(key)


class _Merging(PatchMerging):
    """mmseg's merging, which reads a map."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Map ``(N, C, H, W)`` to tokens of half the sides, and these."""
        return super().forward(nchw_to_nlc(x), x.shape[2:])
