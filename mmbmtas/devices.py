"""Copies to a device that nobody waits for, and labels that are looked at without one.

A GPU computes what the CPU has given it, some milliseconds later. Whoever asks for a number, or
copies from ordinary memory, waits until all of that is done.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy a small tensor of the CPU to a device; on a GPU without waiting.

    Args:
        tensor: Any numbers; given back as they are if they are there.
        device: Where they are wanted.
    """
    device = torch.device(device)
    if device.type == 'cuda' and not tensor.is_cuda:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept must do for trainings too
def constants(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """Return (rows of) numbers as float64 on a device; made once, and not to be changed."""
    return to_device(torch.tensor(values, dtype=torch.float64), device)


def remember(moved: Tensor, original: Tensor) -> None:
    """Let :func:`as_on_cpu` find the tensor of the CPU that another is a copy of."""
    is_copy = original.device.type == 'cpu' != moved.device.type and moved.dtype == original.dtype
    if is_copy and not moved.is_inference():  # whose changes torch does not count
        moved._on_cpu = moved._version, original  # type: ignore[attr-defined]


def as_on_cpu(tensor: Tensor) -> Tensor:
    """Return what a tensor was copied of, if it is known and unchanged; else the tensor."""
    if not hasattr(tensor, '_on_cpu'):
        return tensor
    version, original = tensor._on_cpu
    return original if version == tensor._version else tensor


def fetch(values: Sequence[Tensor]) -> list[Tensor]:
    """Return numbers of a device as 0-d tensors of the CPU, which waits for it once.

    Args:
        values: 0-d tensors.
    """
    if not values:
        return []
    alike = len({value.dtype for value in values}) == 1
    rows = [value.detach() if alike else value.detach().double() for value in values]
    found = torch.stack(rows).cpu()
    return [number.to(value.dtype) for number, value in zip(found, values, strict=True)]
