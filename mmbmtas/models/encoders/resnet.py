"""ResNets as stem and layers, from mmseg's residual blocks."""

import re
from collections import OrderedDict
from typing import Any

from mmcv.cnn import build_norm_layer
from mmseg.models.backbones import ResNet
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.errors import InputError
from mmbmtas.registry import TASK_UTILS
from mmbmtas.structures.documents import is_count

from .base import ASPP, CONTEXT, Encoder
from .context import Context
from .context_config import ContextConfig

# Of stages 1 to 4, at output stride 16: the stride of the first block, the dilation of the others
# (of the first it is 1 in every stage).
_STRIDES = (1, 2, 2, 1)
_DILATIONS = (1, 1, 1, 2)


@TASK_UTILS.register_module()
class ResNetEncoder(Encoder):
    """ResNet-18, -34, -50, -101 or -152 and ASPP, at output stride 16.

    ``style='pytorch'``: the stride is in the 3x3 convolution; no deep stem. A basic block of mmseg
    dilates its first convolution only.

    Args:
        depth: 18, 34, 50, 101 or 152.
        context_channels: Channels of ASPP's branches and output, 256 by default.
        norm_cfg: Normalisation of every convolution.
        context: Another context module: ``dict(type='DensePredictionCell', cell=FILE)``, or other
            arguments of ASPP, see :class:`ContextModule`.

    Raises:
        InputError: There is no ResNet of that depth, or ``context_channels`` means nothing.

    Example:
        >>> encoder = ResNetEncoder(depth=50)
        >>> encoder.num_layers, encoder.low_level_channels
        (17, 256)
    """

    stem_channels = 64

    def __init__(
        self,
        depth: int,
        context_channels: int | None = None,
        norm_cfg: dict | None = None,
        context: dict[str, Any] | None = None,
    ) -> None:
        if not is_count(depth) or depth not in ResNet.arch_settings:
            raise InputError(
                f'depth {depth!r} of ResNetEncoder: not in {sorted(ResNet.arch_settings)}'
            )
        self.depth = depth
        self.context = ContextConfig(
            type(self).__name__, context, ASPP, context_channels, usual_channels=256
        )
        self.context_channels = self.context.channels
        self.norm_cfg = norm_cfg or dict(type='BN')
        self.block, self.stage_blocks = ResNet.arch_settings[depth]
        self.blocks = self._list_blocks()
        self._block_of = {block['name']: index for index, block in enumerate(self.blocks)}
        self.layer_names = (*self._block_of, CONTEXT)
        self.low_level_index = self.stage_blocks[0] - 1
        self.low_level_channels = self.stem_channels * self.block.expansion

    def _list_blocks(self) -> list[dict[str, Any]]:
        """List the arguments of every residual block in order."""
        blocks, in_channels = [], self.stem_channels
        for stage, repeats in enumerate(self.stage_blocks):
            planes = self.stem_channels * 2**stage
            for repeat in range(repeats):
                blocks.append(
                    dict(
                        name=f'layer{stage + 1}.{repeat}',
                        inplanes=in_channels,
                        planes=planes,
                        stride=_STRIDES[stage] if repeat == 0 else 1,
                        dilation=_DILATIONS[stage] if repeat > 0 else 1,
                    )
                )
                in_channels = planes * self.block.expansion
        return blocks

    def build_stem(self) -> nn.Module:
        """Build the 7x7 convolution at stride 2 and the max-pool: 3 to 64 channels at stride 4."""
        return nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, self.stem_channels, 7, stride=2, padding=3, bias=False),
                bn1=build_norm_layer(self.norm_cfg, self.stem_channels)[1],
                relu=nn.ReLU(inplace=True),
                maxpool=nn.MaxPool2d(3, stride=2, padding=1),
            )
        )

    def build_layer(self, index: int, dropout: float = 0.0) -> nn.Module:
        """Build residual block ``index``, or ASPP for the last index."""
        if self.layer_names[index] == CONTEXT:
            return self.context.build(
                self.blocks[-1]['planes'] * self.block.expansion, dropout, self.norm_cfg
            )
        block = {key: value for key, value in self.blocks[index].items() if key != 'name'}
        out_channels = block['planes'] * self.block.expansion
        downsample = None
        if block['stride'] != 1 or block['inplanes'] != out_channels:
            downsample = nn.Sequential(
                nn.Conv2d(block['inplanes'], out_channels, 1, stride=block['stride'], bias=False),
                build_norm_layer(self.norm_cfg, out_channels)[1],
            )
        return self.block(**block, downsample=downsample, norm_cfg=self.norm_cfg)

    def last_norm(self, layer: Any) -> _BatchNorm:
        """Return the normalisation of the block's last convolution, or of ASPP's projection."""
        if isinstance(layer, Context):
            return layer.projection.norm
        return layer.norm2 if self.block.expansion == 1 else layer.norm3

    def translate(self, key: str) -> str | None:
        """Translate a key of mmpretrain's, mmseg's or torchvision's ResNet, which agree."""
        if key.startswith('fc.'):
            return None
        if re.match(r'(conv1|bn1)\.', key):
            return f'stem.{key}'
        if match := re.fullmatch(r'(layer\d\.\d+)\.(.+)', key):
            return f'layers.{self._block_of[match[1]]}.{match[2]}'
        raise KeyError(key)

    def to_config(self) -> dict[str, Any]:
        """Return the config of this encoder."""
        return dict(type='ResNetEncoder', depth=self.depth, **self.context.to_config())
