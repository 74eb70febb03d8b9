"""MobileNetV3 as stem and layers, from mmpretrain's inverted residuals."""

import re
import warnings
from collections.abc import Iterator
from typing import Any

from mmpretrain.models.backbones import MobileNetV3
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.registry import TASK_UTILS

from .blocks import FamilyEncoder, build_conv_stem
from .squeezing import build_inverted_residual, translate_torchvision


@TASK_UTILS.register_module()
class MobileNetV3Encoder(FamilyEncoder):
    """MobileNetV3 and R-ASPP, at output stride 16.

    In the last stage the first block has stride 1; all later blocks have dilation 2. A stage is a
    run of blocks of the same width.

    Weights are torchvision's, ``torchvision://mobilenet_v3_large`` or ``_small``, or mmpretrain's,
    ``mmcls://mobilenet_v3_large``, which are the same.

    Args:
        arch: ``large``, ``small``, ``small_075`` or ``small_050``.
        context_channels, norm_cfg, context: See :class:`FamilyEncoder`.

    Example:
        >>> encoder = MobileNetV3Encoder(arch='large')
        >>> encoder.num_layers, encoder.low_level_channels
        (16, 24)
    """

    archs = tuple(MobileNetV3.arch_settings)
    stem_channels = 16
    eps = 1e-3

    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        stage, repeat, before = 0, 0, 0
        for kernel, mid, channels, squeezes, act, stride in MobileNetV3.arch_settings[self.arch]:
            stage, repeat = (stage, repeat + 1) if channels == before else (stage + 1, 0)
            before = channels
            yield dict(
                name=f'stage{stage}.{repeat}',
                out_channels=channels,
                mid_channels=mid,
                kernel_size=kernel,
                stride=stride,
                se_cfg=_squeeze(mid) if squeezes else None,
                act_cfg=dict(type=act),
            )

    def build_stem(self) -> nn.Module:
        """Build the first convolution, 3 to 16 channels at stride 2."""
        return build_conv_stem(self.stem_channels, self.norm_cfg, dict(type='HSwish'))

    def _build_block(self, **block: Any) -> nn.Module:
        with warnings.catch_warnings():  # of mmcv, of a default that is stated here
            warnings.filterwarnings('ignore', 'In MMCV v1.4.4')
            return build_inverted_residual(**block, norm_cfg=self.norm_cfg)

    def _block_norm(self, block: Any) -> _BatchNorm:
        return block.linear_conv.norm

    def translate(self, key: str) -> str | None:
        """Translate a key of mmpretrain's or torchvision's MobileNetV3."""
        count = len(self.blocks)
        if key.startswith((f'layer{count + 1}.', f'features.{count + 1}.', 'classifier.')):
            return None
        if match := re.fullmatch(r'layer0\.(.+)', key):
            return f'stem.{match[1]}'
        if match := re.fullmatch(r'features\.0\.([01])\.(\w+)', key):
            return f'stem.{("conv", "bn")[int(match[1])]}.{match[2]}'
        if match := re.fullmatch(r'(layer|features\.)(\d+)\.(.+)', key):
            layer, name = int(match[2]) - 1, match[3]
            if 0 <= layer < count:
                block = self.blocks[layer]
                if match[1] == 'features.':
                    expands = block['mid_channels'] != block['in_channels']
                    name = translate_torchvision(name, expands, block['se_cfg'] is not None)
                return f'layers.{layer}.{name}'
        raise KeyError(key)


def _squeeze(channels: int) -> dict[str, Any]:
    """Return the config of a squeeze-and-excitation."""
    return dict(
        channels=channels,
        ratio=4,
        act_cfg=(dict(type='ReLU'), dict(type='HSigmoid', bias=3.0, divisor=6.0)),
    )
