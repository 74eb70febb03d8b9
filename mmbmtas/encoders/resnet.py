"""ResNets and ResNeXts as stem and layers, from mmseg's residual blocks."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from mmcv.cnn import ConvModule, build_norm_layer
from mmseg.models.backbones import ResNet
from mmseg.models.backbones.resnext import Bottleneck as ResNeXtBottleneck
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.errors import InputError
from mmbmtas.registry import TASK_UTILS
from mmbmtas.structures.documents import is_count
from mmbmtas.structures.values import require_count

from .base import ASPP
from .blocks import BlockEncoder, build_shortcut, stage

_STRIDES = (1, 2, 2, 2)  # of the first block of each stage
_BASE_WIDTH = 4


@TASK_UTILS.register_module()
class ResNetEncoder(BlockEncoder):
    """ResNet-18, -34, -50, -101 or -152 and ASPP, at output stride 16.

    ``style='pytorch'``: the stride is in the 3x3 convolution. That is V1b, the default. A basic
    block of mmseg dilates its first convolution only.

    ======== ====================================== ===========================================
    network  arguments                              public weights
    ======== ====================================== ===========================================
    V1b      ``depth=50``                           ``torchvision://resnet50``
    V1c      ``depth=50, deep_stem=True``           ``open-mmlab://resnet50_v1c``
    V1d      ``..., deep_stem=True, avg_down=True`` ``mmcls://resnet50_v1d``
    ResNeXt  ``depth=50, groups=32, base_width=4``  ``torchvision://resnext50_32x4d``
    ======== ====================================== ===========================================

    Args:
        depth: 18, 34, 50, 101 or 152.
        context_channels: Channels of ASPP's branches and output, 256 by default.
        norm_cfg: Normalisation of every convolution.
        context: Another context module: ``dict(type='DensePredictionCell', cell=FILE)``, or other
            arguments of ASPP, see :class:`ContextModule`.
        deep_stem: Begin with three 3x3 convolutions instead of one 7x7.
        avg_down: Average in a shortcut where it halves the resolution, instead of skipping pixels.
        groups: Groups of the 3x3 convolutions, which ResNeXts of 50 and more layers have.
        base_width: Channels of a group in the first stage, 4 by default; only with ``groups``.

    Raises:
        InputError: There is no such ResNet, or a number means nothing.

    Example:
        >>> encoder = ResNetEncoder(depth=50)
        >>> encoder.num_layers, encoder.low_level_channels
        (17, 256)
    """

    stem_channels = 64
    stem_stride = 4
    usual_channels = 256
    usual_context = ASPP

    def __init__(
        self,
        depth: int,
        context_channels: int | None = None,
        norm_cfg: dict | None = None,
        context: dict[str, Any] | None = None,
        deep_stem: bool = False,
        avg_down: bool = False,
        groups: int = 1,
        base_width: int | None = None,
    ) -> None:
        if not is_count(depth) or depth not in ResNet.arch_settings:
            raise InputError(
                f'depth {depth!r} of ResNetEncoder: not in {sorted(ResNet.arch_settings)}'
            )
        for name, flag in (('deep_stem', deep_stem), ('avg_down', avg_down)):
            if not isinstance(flag, bool):
                raise InputError(f'{name} {flag!r} of ResNetEncoder: expected True or False')
        self.depth, self.deep_stem, self.avg_down = depth, deep_stem, avg_down
        self.block, self.stage_blocks = ResNet.arch_settings[depth]
        self.groups = require_count('groups of ResNetEncoder', groups)
        if groups == 1 and base_width is not None:
            raise InputError(
                f'base_width {base_width!r} of ResNetEncoder: only with groups above 1'
            )
        self.base_width = _BASE_WIDTH if base_width is None else base_width
        require_count('base_width of ResNetEncoder', self.base_width, most=1024)
        if groups > 1 and self.block.expansion == 1:
            raise InputError(
                f'groups {groups} of ResNetEncoder: expected 1 at depth {depth}, as only the '
                'blocks of 50 and more layers have groups'
            )
        super().__init__(context_channels, norm_cfg, context)

    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        for index, repeats in enumerate(self.stage_blocks):
            planes = self.stem_channels * 2**index
            yield from stage(
                f'layer{index + 1}',
                repeats,
                _STRIDES[index],
                planes=planes,
                out_channels=planes * self.block.expansion,
            )

    def build_stem(self) -> nn.Module:
        """Build the convolution, or convolutions, and the max-pool: 3 to 64 channels, stride 4."""
        width = self.stem_channels
        maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        if self.deep_stem:
            sizes = ((3, width // 2, 2), (width // 2, width // 2, 1), (width // 2, width, 1))
            convs = {
                str(index): ConvModule(
                    before, after, 3, stride=stride, padding=1, norm_cfg=self.norm_cfg
                )
                for index, (before, after, stride) in enumerate(sizes)
            }
            return nn.Sequential(OrderedDict(**convs, maxpool=maxpool))
        return nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
                bn1=build_norm_layer(self.norm_cfg, width)[1],
                relu=nn.ReLU(inplace=True),
                maxpool=maxpool,
            )
        )

    def _build_block(
        self, in_channels: int, out_channels: int, stride: int, **block: Any
    ) -> nn.Module:
        """Build mmseg's block and its shortcut.

        The last stage's shortcut does not average: it keeps all pixels, as mmseg's does.
        """
        downsample = build_shortcut(
            in_channels, out_channels, stride, self.norm_cfg, averages=self.avg_down
        )
        options = dict(
            **block,
            inplanes=in_channels,
            stride=stride,
            downsample=downsample,
            norm_cfg=self.norm_cfg,
        )
        if self.groups > 1:
            return ResNeXtBottleneck(groups=self.groups, base_width=self.base_width, **options)
        return self.block(**options)

    def _block_norm(self, block: Any) -> _BatchNorm:
        return block.norm2 if self.block.expansion == 1 else block.norm3

    def translate(self, key: str) -> str | None:
        """Translate a key of mmpretrain's, mmseg's or torchvision's ResNet.

        They agree but for a deep stem, whose convolutions and normalisations mmseg counts in one.
        With ``avg_down`` the keys are mmpretrain's.
        """
        if key.startswith('fc.'):
            return None
        if re.match(r'(conv1|bn1)\.' if not self.deep_stem else r'stem\.[012]\.(conv|bn)\.', key):
            return key if self.deep_stem else f'stem.{key}'
        if self.deep_stem and (match := re.fullmatch(r'stem\.([013467])\.(\w+)', key)):
            conv, part = divmod(int(match[1]), 3)
            return f'stem.{conv}.{("conv", "bn")[part]}.{match[2]}'
        if match := re.fullmatch(r'(layer\d\.\d+)\.(.+)', key):
            name = match[2]
            if self.avg_down and match[1] != 'layer1.0':  # there the average is counted too
                name = re.sub(r'^downsample\.(\d)', _one_less, name)
            return f'layers.{self._block_of[match[1]]}.{name}'
        raise KeyError(key)

    def _options(self) -> dict[str, Any]:
        """Return the depth, and the other arguments where they are not the defaults."""
        flags = {name: True for name in ('deep_stem', 'avg_down') if getattr(self, name)}
        grouped = dict(groups=self.groups, base_width=self.base_width) if self.groups > 1 else {}
        return dict(depth=self.depth, **flags, **grouped)


def _one_less(match: re.Match[str]) -> str:
    return f'downsample.{int(match[1]) - 1}'
