"""MobileNetV2 as stem and layers, from mmseg's inverted residuals."""

import re
from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.backbones import MobileNetV2
from mmseg.models.utils import InvertedResidual, make_divisible
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.registry import TASK_UTILS
from mmbmtas.structures.values import require_positive

from .base import CONTEXT, RASPP, Encoder
from .context import Context
from .context_config import ContextConfig

# Of stages 1 to 7, at output stride 16: the stride of the first block, the dilation of the first
# block, the dilation of the others. mmseg's backbone dilates only the first block of a stage.
_STRIDES = (1, 2, 2, 2, 1, 1, 1)
_DILATIONS = ((1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (2, 2))


@TASK_UTILS.register_module()
class MobileNetV2Encoder(Encoder):
    """MobileNetV2 (17 inverted residuals) and R-ASPP, at output stride 16.

    In the last stage that halves the resolution (6) the first block has stride 1 and dilation 1;
    all later blocks, through block 17, have dilation 2.

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
        self.context = ContextConfig(
            type(self).__name__, context, RASPP, context_channels, usual_channels=128
        )
        self.context_channels = self.context.channels
        self.norm_cfg = norm_cfg or dict(type='BN')
        self.stem_channels = make_divisible(32 * widen_factor, 8)
        self.blocks = self._list_blocks()
        self._block_of = {
            block['name']: index for index, block in enumerate(self.blocks)
        }  # mmpretrain's name to layer
        self.layer_names = (*self._block_of, CONTEXT)
        self.low_level_index = 2
        self.low_level_channels = self.blocks[self.low_level_index]['out_channels']

    def _list_blocks(self) -> list[dict[str, Any]]:
        """List the arguments of every inverted residual in order."""
        blocks, in_channels = [], self.stem_channels
        for stage, (expand_ratio, channels, repeats) in enumerate(MobileNetV2.arch_settings):
            for repeat in range(repeats):
                blocks.append(
                    dict(
                        name=f'layer{stage + 1}.{repeat}',
                        in_channels=in_channels,
                        out_channels=make_divisible(channels * self.widen_factor, 8),
                        stride=_STRIDES[stage] if repeat == 0 else 1,
                        expand_ratio=expand_ratio,
                        dilation=_DILATIONS[stage][repeat > 0],
                    )
                )
                in_channels = blocks[-1]['out_channels']
        return blocks

    def build_stem(self) -> nn.Module:
        """Build the first convolution, 3 channels to ``32 * widen_factor`` at stride 2."""
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
        block = {key: value for key, value in self.blocks[index].items() if key != 'name'}
        return InvertedResidual(**block, norm_cfg=self.norm_cfg)

    def last_norm(self, layer: Any) -> _BatchNorm:
        """Return the normalisation of the linear bottleneck, or of R-ASPP's projection."""
        return layer.projection.norm if isinstance(layer, Context) else layer.conv[-1].norm

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

    def to_config(self) -> dict[str, Any]:
        """Return the config of this encoder."""
        return dict(
            type='MobileNetV2Encoder',
            widen_factor=self.widen_factor,
            **self.context.to_config(),
        )


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
