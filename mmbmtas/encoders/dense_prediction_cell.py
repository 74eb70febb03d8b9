"""Dense prediction cells as context modules (Chen et al., NeurIPS 2018)."""

import os
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS
from mmbmtas.structures import DenseCell
from mmbmtas.structures.cell import Operation
from mmbmtas.structures.cell_file import POOLING
from mmbmtas.structures.values import MAX_SIDE, require_count, require_share

from .context import Context, require_several_values

Pooling = Literal['grid', 'sliding']
Cell = str | os.PathLike | dict[str, Any] | list[dict[str, Any]] | DenseCell


@MODELS.register_module()
class DensePredictionCell(Context):
    """The branches of a cell, concatenated in their order and projected.

    A convolution of 3x3 is depthwise separable, with normalisation and activation after each half
    (public code); all convolutions are without bias.

    Args:
        in_channels: Channels of the input.
        channels: Channels of every branch and of the output.
        cell: The cell: a path of a ``cell.json``, its content, a bare list of branches, or the
            object.
        dropout: Dropout rate before the projection.
        norm_cfg: Normalisation of every convolution.
        act_cfg: Activation of every convolution.
        rate_multiplier: What rates are multiplied by: 2 at output stride 8, since cells are stated
            for stride 16.
        pooling: ``grid`` (paper): the mean of each cell of the grid, brought up with bilinear
            interpolation. ``sliding`` (public code): means of windows at stride 1, as large as the
            grid's cells, brought up with corners aligned.

    Raises:
        InputError: The cell has another form, or an argument means nothing.
        MissingFileError: There is no such file.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        cell: Cell,
        dropout: float = 0.1,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        rate_multiplier: int = 1,
        pooling: Pooling = 'grid',
    ) -> None:
        super().__init__()
        require_count('channels of DensePredictionCell', channels)
        require_share('dropout', dropout, below_one=True)
        require_count('rate_multiplier of DensePredictionCell', rate_multiplier, most=MAX_SIDE)
        if pooling not in get_args(Pooling):
            raise InputError(
                f'pooling {pooling!r} of DensePredictionCell: not in {[*get_args(Pooling)]}'
            )
        self.cell = as_cell(cell)
        layers = dict(norm_cfg=norm_cfg or dict(type='BN'), act_cfg=act_cfg or dict(type='ReLU'))
        self.branches = nn.ModuleList(
            _build_branch(
                operation,
                in_channels if read < 0 else channels,
                channels,
                rate_multiplier,
                pooling,
                layers,
            )
            for read, operation in zip(self.cell.inputs, self.cell.operations, strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.projection = ConvModule(len(self.branches) * channels, channels, 1, **layers)

    @classmethod
    def plain_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with the cell's branches in the place of its file."""
        if 'cell' not in options:
            raise InputError('DensePredictionCell: expected cell=FILE, or the cell itself')
        return {**options, 'cell': as_cell(options['cell']).branches}

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, channels, H, W)``."""
        return self.projection(self.dropout(torch.cat(self.run_branches(x), dim=1)))

    def run_branches(self, x: Tensor) -> list[Tensor]:
        """Return the output of each branch, ``(N, channels, H, W)``."""
        outputs: list[Tensor] = []
        for read, branch in zip(self.cell.inputs, self.branches, strict=True):
            outputs.append(branch(x if read < 0 else outputs[read]))
        return outputs


class PyramidPooling(nn.Module):
    """Means over parts of the map, a 1x1 convolution of them, and interpolation to the map's size.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        grid_size: Parts in height and width; where a map is smaller, as many as it has pixels.
        pooling: See :class:`DensePredictionCell`.
        **layers: Normalisation and activation of the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        grid_size: tuple[int, int],
        pooling: Pooling,
        **layers: Any,
    ) -> None:
        super().__init__()
        self.grid_size, self.pooling = grid_size, pooling
        self.conv = ConvModule(in_channels, channels, 1, **layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, channels, H, W)``."""
        size = (x.shape[2], x.shape[3])
        pooled = self.pool(x, size)
        require_several_values(self.conv, pooled[:, 0].numel(), 'pyramid pooling')
        corners = self.pooling == 'sliding'
        return F.interpolate(self.conv(pooled), size, mode='bilinear', align_corners=corners)

    def pool(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the means over the parts of a map of a height and width."""
        if self.pooling == 'sliding':
            kernel = [(n - 1) // grid + 1 for n, grid in zip(size, self.grid_size, strict=True)]
            return F.avg_pool2d(x, kernel, stride=1)
        height, width = map(min, size, self.grid_size)
        return F.adaptive_avg_pool2d(x, (height, width))

    def extra_repr(self) -> str:
        """Describe what the parameters do not show."""
        return f'grid_size={self.grid_size}, pooling={self.pooling!r}'


def as_cell(cell: Cell) -> DenseCell:
    """Return the cell behind a path, a document, a list of branches, or the cell itself."""
    if isinstance(cell, DenseCell):
        return cell
    if isinstance(cell, (str, os.PathLike)):
        return DenseCell.load(cell)
    return DenseCell.from_dict(cell, 'cell')


def _build_branch(
    operation: Operation,
    in_channels: int,
    channels: int,
    rate_multiplier: int,
    pooling: Pooling,
    layers: dict[str, Any],
) -> nn.Module:
    """Build what a branch computes."""
    if operation.op == POOLING:
        return PyramidPooling(in_channels, channels, operation.grid_size, pooling, **layers)
    if operation.kernel == (1, 1):
        return ConvModule(in_channels, channels, 1, **layers)
    sides = [*zip(operation.kernel, operation.rate, strict=True)]
    rate = tuple(rate * rate_multiplier if kernel > 1 else 1 for kernel, rate in sides)
    padding = tuple(
        rate * (kernel // 2) for kernel, rate in zip(operation.kernel, rate, strict=True)
    )
    return DepthwiseSeparableConvModule(
        in_channels, channels, operation.kernel, padding=padding, dilation=rate, **layers
    )
