"""EfficientNet as stem and layers, from mmpretrain's inverted residuals."""

import math
import re
from collections.abc import Iterator
from typing import Any

from mmseg.models.utils import make_divisible
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.errors import InputError
from mmbmtas.registry import TASK_UTILS

from .blocks import FamilyEncoder, build_conv_stem, stage
from .squeezing import build_inverted_residual, translate_torchvision

SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8))
"""Of variants 0 to 4: the multipliers of width and of depth."""
STEM_CHANNELS = 32
# Of stages 1 to 7 of variant 0: channels, repeats, expansion, kernel, stride of the first block.
_STAGES = (
    *((16, 1, 1, 3, 1), (24, 2, 6, 3, 2), (40, 2, 6, 5, 2), (80, 3, 6, 3, 2)),
    *((112, 3, 6, 5, 1), (192, 4, 6, 5, 2), (320, 1, 6, 3, 1)),
)
_GROUPS = [[0], [1], [2], [3, 4], [5, 6]]  # the stages in each of mmpretrain's layers
_STEM = {'0': 'conv', '1': 'bn'}  # torchvision's names, and ours


def list_blocks(width: float, depth: float, ends_grow: bool) -> Iterator[dict[str, Any]]:
    """Yield the arguments of every inverted residual in order.

    Args:
        width: Multiplier of channels.
        depth: Multiplier of repeats.
        ends_grow: Whether the first and the last stage grow deeper too.
    """
    for index, (channels, repeats, expand_ratio, kernel_size, stride) in enumerate(_STAGES):
        grows = ends_grow or 0 < index < len(_STAGES) - 1
        yield from stage(
            f'stage{index + 1}',
            math.ceil(depth * repeats) if grows else repeats,
            stride,
            out_channels=make_divisible(channels * width, 8),
            kernel_size=kernel_size,
            expand_ratio=expand_ratio,
        )


@TASK_UTILS.register_module()
class EfficientNetEncoder(FamilyEncoder):
    """EfficientNet-B0 to -B4 and R-ASPP, at output stride 16.

    In stage 6 the first block has stride 1; all later blocks have dilation 2.

    There are two kinds of weights: torchvision's, ``torchvision://efficientnet_b0``, and those that
    mmpretrain converted from TensorFlow. The latter need ``tensorflow=True``: TensorFlow's padding,
    which shifts a halved map by one pixel where its sides were even, and another ``eps``. Weights
    of the other kind are refused.

    Args:
        arch: ``b0`` to ``b4``; later ones are wider and deeper.
        tensorflow: Compute as TensorFlow does.
        **options: See :class:`FamilyEncoder`; the normalisations' ``eps`` is torch's unless stated,
            1e-3 with ``tensorflow``.

    Raises:
        InputError: There is no such network, ``context_channels`` means nothing, or ``tensorflow``
            is not True or False.

    Example:
        >>> encoder = EfficientNetEncoder(arch='b0')
        >>> encoder.num_layers, encoder.low_level_channels
        (17, 24)
    """

    archs = tuple(f'b{index}' for index in range(len(SCALES)))

    def __init__(self, arch: str, tensorflow: bool = False, **options: Any) -> None:
        if not isinstance(tensorflow, bool):
            raise InputError(
                f'tensorflow {tensorflow!r} of EfficientNetEncoder: expected True or False'
            )
        self.tensorflow = tensorflow
        self.eps = 1e-3 if tensorflow else None
        super().__init__(arch, **options)

    @property
    def stem_channels(self) -> int:  # type: ignore[override]
        """Channels of the stem's output."""
        return make_divisible(STEM_CHANNELS * self._scale[0], 8)

    @property
    def _scale(self) -> tuple[float, float]:
        return SCALES[self.archs.index(self.arch)]

    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        yield from list_blocks(*self._scale, ends_grow=True)

    @property
    def _layers(self) -> dict[str, Any]:
        """Configs that all convolutions share."""
        conv_cfg = dict(type='Conv2dAdaptivePadding') if self.tensorflow else None
        return dict(conv_cfg=conv_cfg, norm_cfg=self.norm_cfg, act_cfg=dict(type='SiLU'))

    def build_stem(self) -> nn.Module:
        """Build the first convolution, 3 channels to 32 or more at stride 2."""
        return build_conv_stem(self.stem_channels, **self._layers)

    def _build_block(self, in_channels: int, expand_ratio: int, **block: Any) -> nn.Module:
        channels = in_channels * expand_ratio
        squeeze = dict(
            channels=channels,
            squeeze_channels=in_channels // 4,
            act_cfg=(dict(type='SiLU'), dict(type='Sigmoid')),
        )
        return build_inverted_residual(
            in_channels=in_channels, mid_channels=channels, se_cfg=squeeze, **block, **self._layers
        )

    def _block_norm(self, block: Any) -> _BatchNorm:
        return block.linear_conv.norm

    def translate(self, key: str) -> str | None:
        """Translate a key of torchvision's EfficientNet, or with ``tensorflow`` of mmpretrain's.

        Raises:
            KeyError: The key belongs to no EfficientNet.
            InputError: It belongs to one of the other library.
        """
        match = re.fullmatch(r'(features|layers)\.(\d)\.(.+)', key)
        if match is None:
            if key.startswith('classifier.'):
                return None
            raise KeyError(key)
        if (match[1] == 'layers') != self.tensorflow:
            raise InputError(
                f'{key} is a weight of {"torchvision" if self.tensorflow else "mmpretrain"}: '
                f'expected EfficientNetEncoder with tensorflow={not self.tensorflow}'
            )
        return self._translate_layer(int(match[2]), match[3])

    def _translate_layer(self, layer: int, name: str) -> str | None:
        """Translate a name below one of the library's layers, the stem first."""
        groups = [[index] for index in range(7)] if not self.tensorflow else _GROUPS
        if layer == len(groups) + 1:
            return None
        if layer == 0:
            found = re.fullmatch(r'(conv|bn|[01])\.(\w+)', name)
            if found and found[1].isdigit() != self.tensorflow:
                return f'stem.{_STEM.get(found[1], found[1])}.{found[2]}'
        elif layer <= len(groups) and (found := re.fullmatch(r'(\d+)\.(.+)', name)):
            layers = [index for group in groups[layer - 1] for index in self.stages[group]]
            if int(found[1]) < len(layers):
                index, inside = layers[int(found[1])], found[2]
                if not self.tensorflow:
                    expands = self.blocks[index]['expand_ratio'] > 1
                    inside = translate_torchvision(inside, expands, squeezes=True)
                return f'layers.{index}.{inside}'
        raise KeyError(name)

    def _options(self) -> dict[str, Any]:
        return super()._options() | ({'tensorflow': True} if self.tensorflow else {})
