"""Networks of timm as stem and layers, whatever their family, if they are sequences of blocks."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import nn

from mmbmtas.errors import InputError
from mmbmtas.registry import TASK_UTILS

from .blocks import LOW_LEVEL_STRIDE, BlockEncoder
from .timm_cut import CutNetwork, cut_network


class TimmLayer(nn.Sequential):
    """Modules of a network of timm that run one after another.

    Args:
        parts: The modules by name.
        norm_name: Name of the normalisation that ends them, if one does.
    """

    def __init__(self, parts: OrderedDict[str, nn.Module], norm_name: str | None = None) -> None:
        super().__init__(parts)
        self.norm_name = norm_name


@TASK_UTILS.register_module()
class TimmEncoder(BlockEncoder):
    """A network of timm that is a sequence of blocks, and R-ASPP, by default at output stride 32.

    ResNets, RegNets, MobileNets, EfficientNets, ConvNeXts and many more. What stands between two
    stages belongs to the first block of the second; what follows the last block is left out. The
    network is cut by watching it run, and refused where its parts, one after another, do not
    compute the same. Weights are those of timm itself, under their names.

    Where a normalisation ends a block, it has no affine parameters in a candidate of a search.
    Where a sum, a layer scale or a squeeze does, candidates keep all parameters.

    Args:
        name: timm's name, without its weights: ``resnet18``, ``regnetx_002``, ...
        output_stride: The largest stride. With 8 or 16, timm dilates what follows, in the families
            that can.
        context_channels: Channels of the context module's branches and output, by default 128.
        norm_cfg: Normalisation of the context module.
        context: Another context module, or other arguments of the usual one.

    Raises:
        InputError: timm is missing or has no such network, the network is no sequence of blocks
            from stride 4 on, or an argument means nothing.

    Example:
        >>> encoder = TimmEncoder('resnet18')  # doctest: +SKIP
        >>> encoder.num_layers, encoder.low_level_channels  # doctest: +SKIP
        (9, 64)
    """

    def __init__(
        self,
        name: str,
        output_stride: int = 32,
        context_channels: int | None = None,
        norm_cfg: dict | None = None,
        context: dict[str, Any] | None = None,
    ) -> None:
        if output_stride not in (8, 16, 32) or isinstance(output_stride, bool):
            raise InputError(
                f'output_stride of TimmEncoder {output_stride!r}: expected 8, 16 or 32'
            )
        if not isinstance(name, str):
            raise InputError(f'name {name!r} of TimmEncoder: expected one of timm.list_models()')
        self.name, self.output_stride = name, output_stride
        self._network: CutNetwork = cut_network(name, output_stride)
        self.stem_channels = self._network.shapes[0][0]
        self.stem_stride = self._network.strides[0]
        super().__init__(context_channels, norm_cfg, context)
        if not hasattr(self, 'low_level_index'):
            strides = [*accumulate(self._network.strides, mul)]
            raise InputError(
                f'name {name!r} of TimmEncoder: its blocks have strides {sorted({*strides[1:]})}, '
                f'expected some of stride {LOW_LEVEL_STRIDE}, which decoders read'
            )
        places = {path: f'stem.{path}' for path in self._network.stem}
        for index, paths in enumerate(self._network.layers):
            parts = zip(paths, _part_names(paths), strict=True)
            places |= {path: f'layers.{index}.{part}' for path, part in parts}
        self._places = places
        self._known = frozenset(self._network.model.state_dict())

    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        stages: dict[str, int] = {}
        network = self._network
        for index, paths in enumerate(network.layers):
            stage = paths[-1].rpartition('.')[0]
            repeat = stages[stage] = stages.get(stage, -1) + 1
            yield dict(
                name=f'stage{len(stages)}.{repeat}',
                stride=network.strides[index + 1],
                out_channels=network.shapes[index + 1][0],
                paths=paths,
                norm_name=network.norms[index],
            )

    @property
    def _levels(self) -> list[int]:
        """The strides of the network that does not dilate."""
        levels = [*accumulate(cut_network(self.name, 32).strides[1:], mul)]
        return [*levels, levels[-1]]

    def build_stem(self) -> nn.Module:
        """Build what runs before the first block."""
        return self._build(self._network.stem, self._network.stem)

    def _build_block(self, paths: Sequence[str], norm_name: str | None, **block: Any) -> nn.Module:
        """Build a block, after what stands before it where a stage begins."""
        name = None if norm_name is None else f'block.{norm_name}'
        return self._build(paths, _part_names(paths), name)

    def _build(
        self, paths: Sequence[str], names: Sequence[str], norm_name: str | None = None
    ) -> TimmLayer:
        parts = zip(names, self._network.copy_of(paths), strict=True)
        layer = TimmLayer(OrderedDict(parts), norm_name)
        for part in layer.modules():
            if callable(reset := getattr(part, 'reset_parameters', None)):
                reset()
        return layer.train().to(torch.empty(0).device)  # the default one

    def _block_norm(self, block: Any) -> nn.Module | None:
        return block.get_submodule(block.norm_name) if block.norm_name else None

    def translate(self, key: str) -> str | None:
        """Translate a key of the network's own state dict."""
        parts = key.split('.')
        if key in self._known:
            for count in range(len(parts) - 1, 0, -1):
                if place := self._places.get('.'.join(parts[:count])):
                    return '.'.join([place, *parts[count:]])
            return None
        raise KeyError(key)

    def _options(self) -> dict[str, Any]:
        stride = {} if self.output_stride == 32 else {'output_stride': self.output_stride}
        return dict(name=self.name, **stride)


def _part_names(paths: Sequence[str]) -> list[str]:
    """Name what a layer runs: the block, and before it what timm calls it."""
    return [*(path.rpartition('.')[2] for path in paths[:-1]), 'block']
