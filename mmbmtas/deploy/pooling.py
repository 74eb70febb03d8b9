"""Pooling to a grid of any size, for exported networks."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class PoolingByProducts(TorchFunctionMode):
    """Pools to more than one cell by products of matrices while a network is traced.

    ONNX has no pooling to a grid: torch exports it only if the grid divides the features, and never
    for images of any size.
    """

    def __torch_function__(
        self, func: Callable, types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch, or what stands for it."""
        if func is F.adaptive_avg_pool2d:
            return _pool(*args, **kwargs or {})
        return func(*args, **kwargs or {})


def _pool(x: Tensor, output_size: Any) -> Tensor:
    sizes = output_size if isinstance(output_size, tuple | list) else (output_size,) * 2
    if all(isinstance(size, int) and size == 1 for size in sizes):
        return F.adaptive_avg_pool2d(x, 1)
    rows, columns = (
        _weights(length, length if size is None else size, x)
        for length, size in zip(x.shape[-2:], sizes, strict=True)
    )
    return rows @ x @ columns.transpose(0, 1)


def _weights(length: Any, cells: Any, like: Tensor) -> Tensor:
    """Return the share of each of ``length`` pixels in each cell, ``(cells, length)``."""
    cell = torch.arange(cells, device=like.device)[:, None]
    pixel = torch.arange(length, device=like.device)
    start, end = cell * length // cells, ((cell + 1) * length + cells - 1) // cells
    inside = (pixel >= start) & (pixel < end)
    return inside.to(like.dtype) / (end - start).to(like.dtype)
