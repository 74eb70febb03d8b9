"""SegFormer's Mix Transformer as stem and layers, from mmseg's blocks."""

import re
from collections.abc import Iterator
from typing import Any

from mmcv.cnn import build_norm_layer
from mmseg.models.backbones.mit import TransformerEncoderLayer
from mmseg.models.utils import PatchEmbed
from torch import nn

from mmbmtas.registry import TASK_UTILS

from .blocks import FamilyEncoder, stage
from .tokens import TokenLayer

# Channels of a head, and the blocks of each stage.
_ARCHS = {'b0': (32, (2, 2, 2, 2)), 'b1': (64, (2, 2, 2, 2)), 'b2': (64, (3, 4, 6, 3))}
_HEADS = (1, 2, 5, 8)
_REDUCTIONS = (8, 4, 2, 1)
_LAYER_NORM = {'type': 'LN', 'eps': 1e-6}


@TASK_UTILS.register_module()
class MixTransformerEncoder(FamilyEncoder):
    """MiT-B0, -B1 or -B2 of SegFormer and R-ASPP, at output stride 32.

    The patch embedding between two stages belongs to the first block of the second, and the
    LayerNorm that ends a stage to its last block.

    In a search the candidates of a stage's last block have no affine in that LayerNorm, and those
    of R-ASPP none in its projection. Other blocks end in a sum, with LayerNorm inside, and keep all
    parameters.

    Weights are mmseg's conversions of the published ones, ``mit_b0`` to ``mit_b2``.

    Args:
        arch: ``b0``, ``b1`` or ``b2``.
        context_channels, norm_cfg, context: See :class:`FamilyEncoder`.

    Example:
        >>> encoder = MixTransformerEncoder(arch='b0')
        >>> encoder.num_layers, encoder.low_level_channels
        (9, 32)
    """

    archs = tuple(_ARCHS)
    stem_stride = 4
    output_stride = 32

    @property
    def stem_channels(self) -> int:  # type: ignore[override]
        """Channels of the stem's output."""
        return _ARCHS[self.arch][0]

    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        width, repeats = _ARCHS[self.arch]
        for index, (heads, count) in enumerate(zip(_HEADS, repeats, strict=True)):
            options = dict(out_channels=width * heads, num_heads=heads, sr_ratio=_REDUCTIONS[index])
            blocks = [*stage(f'stage{index + 1}', count, 2 if index else 1, **options)]
            blocks[-1]['ends'] = True
            yield from blocks

    def build_stem(self) -> nn.Module:
        """Build the first patch embedding: a 7x7 convolution at stride 4 and LayerNorm."""
        return TokenLayer(_embed(3, self.stem_channels, 7, 4))

    def _build_block(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        dilation: int,
        ends: bool = False,
        **block: Any,
    ) -> nn.Module:
        """Build mmseg's block, with what begins or ends a stage; no stride is kept."""
        transformer = TransformerEncoderLayer(
            out_channels, feedforward_channels=4 * out_channels, norm_cfg=_LAYER_NORM, **block
        )
        embed = _embed(in_channels, out_channels, 3, stride) if stride > 1 else None
        norm = build_norm_layer(_LAYER_NORM, out_channels)[1] if ends else None
        return TokenLayer(embed, transformer, norm)

    def _block_norm(self, block: Any) -> nn.Module | None:
        return block.norm

    def translate(self, key: str) -> str | None:
        """Translate a key of mmseg's MixVisionTransformer."""
        if match := re.fullmatch(r'layers\.0\.0\.(.+)', key):
            return f'stem.embed.{match[1]}'
        if match := re.fullmatch(r'layers\.([123])\.0\.(.+)', key):
            return f'{self._place(int(match[1]), 0)}.embed.{match[2]}'
        if match := re.fullmatch(r'layers\.(\d)\.1\.(\d+)\.(.+)', key):
            return f'{self._place(int(match[1]), int(match[2]))}.block.{match[3]}'
        if match := re.fullmatch(r'layers\.(\d)\.2\.(.+)', key):
            return f'{self._place(int(match[1]), -1)}.norm.{match[2]}'
        raise KeyError(key)


def _embed(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> PatchEmbed:
    return PatchEmbed(
        in_channels,
        out_channels,
        kernel_size=kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        norm_cfg=_LAYER_NORM,
    )
