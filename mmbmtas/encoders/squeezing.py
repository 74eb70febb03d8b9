"""mmpretrain's inverted residuals with squeeze-and-excitation, for encoders made of them."""

import re
from typing import Any

from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmpretrain.models.utils import InvertedResidual


def build_inverted_residual(dilation: int, **options: Any) -> InvertedResidual:
    """Build a block, and dilate its depthwise convolution.

    Args:
        dilation: Dilation of the depthwise convolution.
        **options: Arguments of mmpretrain's block, which has no dilation.
    """
    block = InvertedResidual(**options)
    conv = block.depthwise_conv.conv
    conv.dilation = (dilation, dilation)
    if not isinstance(conv, Conv2dAdaptivePadding):  # which pads as its dilation needs
        conv.padding = tuple(dilation * (size // 2) for size in conv.kernel_size)
    return block


def translate_torchvision(name: str, expands: bool, squeezes: bool) -> str:
    """Translate a name inside one of torchvision's blocks to mmpretrain's.

    Args:
        name: ``block.PART.LAYER.PARAMETER``, without the name of the block itself.
        expands: Whether the block begins with a 1x1 convolution.
        squeezes: Whether it has squeeze-and-excitation.

    Raises:
        KeyError: The block has no such parameter.
    """
    parts = [
        *(['expand_conv'] if expands else []),
        'depthwise_conv',
        *(['se'] if squeezes else []),
        'linear_conv',
    ]
    match = re.fullmatch(r'block\.(\d)\.(?:([01])|fc([12]))\.(\w+)', name)
    if match is None or int(match[1]) >= len(parts):
        raise KeyError(name)
    part = parts[int(match[1])]
    if (part == 'se') != (match[2] is None):
        raise KeyError(name)
    inside = f'conv{match[3]}.conv' if part == 'se' else ('conv', 'bn')[int(match[2])]
    return f'{part}.{inside}.{match[4]}'
