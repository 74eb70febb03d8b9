"""The base of encoders whose layers are blocks in stages, built from a table."""

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from itertools import accumulate
from operator import mul
from typing import Any

from mmcv.cnn import ConvModule, build_norm_layer
from torch import nn

from mmbmtas.structures.values import require_choice

from .base import CONTEXT, RASPP, Encoder
from .context import Context
from .context_config import ContextConfig

LOW_LEVEL_STRIDE = 4
"""Stride of the features that also feed the decoders."""


class BlockEncoder(Encoder):
    """Blocks in stages, and a context module.

    A subclass lists its blocks with the strides of the published network, builds one from its
    arguments, builds the stem, names the normalisation that ends a block, and translates keys.
    A stride that would exceed the output stride is 1 instead, and all later blocks are dilated:
    they compute the published features, and those between.

    Args:
        context_channels: Channels of the context module's branches and output.
        norm_cfg: Normalisation of every convolution.
        context: Another context module, or other arguments of the usual one.

    Attributes:
        stem_stride: Stride of the stem.
        output_stride: The largest stride.
        usual_channels: Channels of the context module, unless stated.
        usual_context: Config of the context module, unless stated.
        eps: The normalisations' ``eps``, unless stated; None is torch's.
        act_cfg: Activation of the context module; None is ReLU.
        blocks: Arguments of every block in order. All have ``name``, ``stride``, ``dilation``,
            ``in_channels`` and ``out_channels``.

    Raises:
        InputError: ``context_channels`` or ``context`` means nothing.
    """

    stem_stride: int = 2
    output_stride: int = 16
    usual_channels: int = 128
    usual_context: Mapping[str, Any] = RASPP
    eps: float | None = None
    act_cfg: dict[str, Any] | None = None
    blocks: list[dict[str, Any]]

    def __init__(
        self,
        context_channels: int | None = None,
        norm_cfg: dict | None = None,
        context: dict[str, Any] | None = None,
    ) -> None:
        kind = type(self).__name__
        self.context = ContextConfig(
            kind, context, self.usual_context, context_channels, self.usual_channels
        )
        self.context_channels = self.context.channels
        eps = {} if self.eps is None else {'eps': self.eps}
        self.norm_cfg = eps | (norm_cfg or dict(type='BN'))
        self.blocks = self._place_blocks()
        self._block_of = {block['name']: index for index, block in enumerate(self.blocks)}
        self.layer_names = (*self._block_of, CONTEXT)

    def _place_blocks(self) -> list[dict[str, Any]]:
        """Complete the blocks' arguments by what depends on the blocks before."""
        blocks: list[dict[str, Any]] = []
        channels, stride, dilation = self.stem_channels, self.stem_stride, 1
        for index, block in enumerate(self._list_blocks()):
            kept = stride * block['stride'] > self.output_stride
            placed = dict(in_channels=channels, dilation=dilation)
            blocks.append({**block, **placed, 'stride': 1 if kept else block['stride']})
            if kept:
                dilation *= block['stride']
            channels, stride = block['out_channels'], stride * blocks[-1]['stride']
            if stride == LOW_LEVEL_STRIDE:
                self.low_level_index, self.low_level_channels = index, channels
        return blocks

    @abstractmethod
    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        """Yield name, stride, output channels and further arguments of every block in order."""

    @abstractmethod
    def _build_block(self, *args: Any, **block: Any) -> nn.Module:
        """Build a block from its arguments but ``name``, all by keyword; a subclass lists some."""

    @abstractmethod
    def _block_norm(self, block: Any) -> nn.Module | None:
        """Return the normalisation that ends a block, or None if something else does."""

    @property
    def _levels(self) -> list[int]:
        """The published network's strides so far; a dilation stands for the stride it replaces."""
        levels = [*accumulate((block['stride'] for block in self._list_blocks()), mul)]
        return [*levels, levels[-1]]

    def build_layer(self, index: int, dropout: float = 0.0) -> nn.Module:
        """Build block ``index``, or the context module for the last index."""
        if self.layer_names[index] == CONTEXT:
            channels = self.blocks[-1]['out_channels']
            return self.context.build(channels, dropout, self.norm_cfg, self.act_cfg)
        return self._build_block(**{k: v for k, v in self.blocks[index].items() if k != 'name'})

    def last_norm(self, layer: Any) -> nn.Module | None:
        """Return the normalisation that ends a block, or that of the context's projection."""
        if isinstance(layer, Context):
            return None if layer.projection is None else layer.projection.norm
        return self._block_norm(layer)

    def _place(self, stage: int, block: int) -> str:
        """Return the name of a layer in a network's state dict.

        Args:
            stage: Position of the layer's stage.
            block: Position of the layer in its stage; -1 is the last.

        Raises:
            KeyError: There is no such layer.
        """
        try:
            return f'layers.{self.stages[stage][block]}'
        except IndexError as error:
            raise KeyError(stage, block) from error

    def _options(self) -> dict[str, Any]:
        """Return the arguments that choose a network of the family, for :meth:`to_config`."""
        return {}

    def to_config(self) -> dict[str, Any]:
        """Return the config of this encoder."""
        return dict(type=type(self).__name__, **self._options(), **self.context.to_config())


class FamilyEncoder(BlockEncoder):
    """An encoder of one member of a family of named networks.

    Args:
        arch: Name of the network.
        context_channels: Channels of the context module's branches and output, 128 of R-ASPP and
            256 of ASPP by default.
        norm_cfg: Normalisation of every convolution, or of the context module alone if the blocks
            have LayerNorm.
        context: Another context module: ``dict(type='DensePredictionCell', cell=FILE)``, or other
            arguments of the usual one, see :class:`ContextModule`.

    Attributes:
        archs: Names of the networks.

    Raises:
        InputError: There is no such network, or ``context_channels`` means nothing.
    """

    archs: Collection[str]

    def __init__(
        self,
        arch: str,
        context_channels: int | None = None,
        norm_cfg: dict | None = None,
        context: dict[str, Any] | None = None,
    ) -> None:
        self.arch = require_choice(f'arch of {type(self).__name__}', arch, self.archs)
        super().__init__(context_channels, norm_cfg, context)

    def _options(self) -> dict[str, Any]:
        return dict(arch=self.arch)


def stage(name: str, repeats: int, stride: int = 1, **options: Any) -> Iterator[dict[str, Any]]:
    """Yield the arguments of a stage's blocks, called ``NAME.0``, ``NAME.1``, ...

    Args:
        name: Name of the stage.
        repeats: Number of its blocks.
        stride: Stride of the first block; the others have 1.
        **options: What all blocks have in common.
    """
    for repeat in range(repeats):
        yield dict(name=f'{name}.{repeat}', stride=1 if repeat else stride, **options)


def build_conv_stem(
    channels: int, norm_cfg: dict[str, Any], act_cfg: dict[str, Any], **options: Any
) -> ConvModule:
    """Build the stem of mobile networks: a 3x3 convolution at stride 2, and ``options`` for it."""
    return ConvModule(
        3, channels, 3, stride=2, padding=1, norm_cfg=norm_cfg, act_cfg=act_cfg, **options
    )


def build_shortcut(
    in_channels: int, out_channels: int, stride: int, norm_cfg: dict[str, Any], averages: bool
) -> nn.Module | None:
    """Build the shortcut of a residual block, whose convolution is ``0`` and normalisation ``1``.

    Args:
        in_channels: Channels of the block's input.
        out_channels: Channels of its output.
        stride: Its stride.
        norm_cfg: Normalisation.
        averages: Whether pixels are averaged rather than skipped.

    Returns:
        None if the input can be added as it is.
    """
    if stride == 1 and in_channels == out_channels:
        return None
    parts: dict[str, nn.Module] = {}
    if averages and stride > 1:
        parts['pool'] = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
        stride = 1
    parts['0'] = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
    parts['1'] = build_norm_layer(norm_cfg, out_channels)[1]
    return nn.Sequential(OrderedDict(parts))
