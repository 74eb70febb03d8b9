"""The tensors of a layer's candidates as slices of one tensor, which is read without a copy.

A wide operation needs the same weight of all candidates as one tensor. :func:`lay` moves the
candidates' weights to memory in which they lie one after another; the parameters themselves, and
with them names, optimisers and checkpoints, stay what they are. :func:`join` then gives a view of
all, whose gradient falls apart into views again. Where tensors lie elsewhere it copies them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def lay(candidates: Iterable[nn.Module]) -> None:
    """Let parameters and buffers of candidates lie one after another, each with its counterparts.

    Args:
        candidates: At least two modules of the same structure.
    """
    for parts in zip(*(candidate.modules() for candidate in candidates), strict=True):
        for kind in ('_parameters', '_buffers'):
            for name in getattr(parts[0], kind):
                tensors = [getattr(part, kind)[name] for part in parts]
                if _can_lie(tensors) and not _lie(tensors):
                    whole = torch.empty_strided(
                        *_shape_of_all(tensors), dtype=tensors[0].dtype, device=tensors[0].device
                    )
                    for tensor, place in zip(tensors, _split(whole, tensors), strict=True):
                        tensor.data = place.copy_(tensor)


def join(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors one after another in their first dimension; scalars as a vector.

    Args:
        tensors: Of one shape.

    Returns:
        A view if :func:`lay` has placed exactly these, in this order; else a copy.
    """
    if len(tensors) == 1:
        return tensors[0]
    if _is_compiling() or not _lie(tensors):
        return torch.cat([*map(torch.atleast_1d, tensors)])
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return _Joint.apply(*tensors)
    # Statistics change between passes whose gradients are taken together; none depends on them.
    return _view([tensor.data for tensor in tensors])


def put_back(joined: Tensor, tensors: Sequence[Tensor]) -> None:
    """Let tensors have the values that :func:`join` of them has by now, if that was a copy."""
    if joined.data_ptr() != tensors[0].data_ptr():
        torch._foreach_copy_([*tensors], _split(joined, tensors))


class _Joint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        ctx.count = len(tensors)
        return _view(tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return gradient.chunk(ctx.count)


def _lie(tensors: Sequence[Tensor]) -> bool:
    """Tell whether tensors fill memory of their own one after another, and nothing else does."""
    first, count = tensors[0], len(tensors)
    start, size = first.data_ptr(), first.nbytes
    return first.untyped_storage().nbytes() == count * size and all(
        tensor.data_ptr() == start + index * size for index, tensor in enumerate(tensors)
    )


def _can_lie(tensors: Sequence[Tensor | None]) -> bool:
    """Tell whether tensors are alike, not empty, and each as dense as a slice of all would be."""
    first = tensors[0]
    if first is None or any(x is None for x in tensors):
        return False
    kinds = {(x.shape, x.stride(), x.dtype, x.device) for x in tensors if x is not None}
    dense = first.dim() == 0 or first.stride(0) * len(first) == first.numel() > 0
    return len(kinds) == 1 and dense and first.device.type != 'meta'


def _view(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0].detach().as_strided(*_shape_of_all(tensors))


def _split(whole: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    return [*whole.unflatten(0, (len(tensors), *tensors[0].shape[:1])).unbind()]


def _shape_of_all(tensors: Sequence[Tensor]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return shape and strides of tensors that are joined in their first dimension."""
    first = tensors[0]
    if first.dim() == 0:
        return (len(tensors),), (1,)
    return (len(tensors) * len(first), *first.shape[1:]), first.stride()


def _is_compiling() -> bool:
    """Tell whether ``torch.compile`` reads this, which knows no addresses."""
    return hasattr(torch.compiler, 'is_compiling') and torch.compiler.is_compiling()
