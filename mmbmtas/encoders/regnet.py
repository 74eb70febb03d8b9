"""RegNetX as stem and layers, from mmpretrain's blocks."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from mmpretrain.models.backbones import RegNet
from mmpretrain.models.backbones.resnext import Bottleneck
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.registry import TASK_UTILS

from .base import ASPP
from .blocks import FamilyEncoder, build_shortcut, stage


@TASK_UTILS.register_module()
class RegNetEncoder(FamilyEncoder):
    """RegNetX-400MF to -12GF and ASPP, at output stride 16.

    In the last stage the first block has stride 1; all later blocks have dilation 2.

    Weights are ``open-mmlab://regnetx_400mf`` and so on, or mmpretrain's.

    Args:
        arch: mmpretrain's name, ``regnetx_400mf`` to ``regnetx_12gf``.
        context_channels, norm_cfg, context: See :class:`FamilyEncoder`.

    Example:
        >>> encoder = RegNetEncoder(arch='regnetx_400mf')
        >>> encoder.num_layers, encoder.low_level_channels
        (23, 32)
    """

    archs = tuple(RegNet.arch_settings)
    stem_channels = 32
    usual_channels = 256
    usual_context = ASPP

    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        with torch.device('meta'):
            network = RegNet(self.arch)
        stages = zip(network.stage_blocks, network.stage_widths, network.group_widths, strict=True)
        for index, (repeats, width, group_width) in enumerate(stages, start=1):
            yield from stage(
                f'layer{index}', int(repeats), 2, out_channels=width, width_per_group=group_width
            )

    def build_stem(self) -> nn.Module:
        """Build the first convolution, 3 to 32 channels at stride 2."""
        return nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, self.stem_channels, 3, stride=2, padding=1, bias=False),
                bn1=build_norm_layer(self.norm_cfg, self.stem_channels)[1],
                relu=nn.ReLU(inplace=True),
            )
        )

    def _build_block(self, **block: Any) -> nn.Module:
        width = block['out_channels']
        return Bottleneck(
            **block,
            base_channels=width,
            groups=width // block['width_per_group'],
            expansion=1,
            downsample=build_shortcut(
                block['in_channels'], width, block['stride'], self.norm_cfg, averages=False
            ),
            norm_cfg=self.norm_cfg,
        )

    def _block_norm(self, block: Any) -> _BatchNorm:
        return block.norm3

    def translate(self, key: str) -> str | None:
        """Translate a key of mmpretrain's RegNet."""
        if re.match(r'(conv1|bn1)\.', key):
            return f'stem.{key}'
        if match := re.fullmatch(r'(layer\d\.\d+)\.(.+)', key):
            return f'layers.{self._block_of[match[1]]}.{match[2]}'
        raise KeyError(key)
