"""Layers that keep only their input and recompute the rest in the backward pass."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_checkpointed(run: Callable[..., Tensor], module: nn.Module, *args: Any) -> Tensor:
    """Call ``run(*args)`` so that its activations are computed again where gradients need them.

    Results, gradients, running statistics and random numbers are those of a plain call, to the bit
    where the device computes the same twice. The gradient may be asked for several times.

    mmengine's ``activation_checkpointing`` does not do here: it would count each batch twice in the
    running statistics, wraps modules that are called by themselves (a supernet's layer is a sum of
    several), and rests on the variant of torch's checkpointing that does not know
    ``torch.autograd.grad``.

    Args:
        run: Computes a layer; it must not change anything but buffers of ``module``.
        module: What ``run`` calls.
        args: Its arguments; tensors in them, also within containers, receive gradients.
    """
    if not torch.is_grad_enabled():
        return run(*args)
    return checkpoint(
        run,
        *args,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _BuffersRestored(module)),
    )


class _BuffersRestored:
    """Undo what happens to the buffers of a module that is training, such as statistics.

    It may be entered again, as torch does for each gradient that is asked for.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._before: list[tuple[Tensor, Tensor]] = []

    def __enter__(self) -> None:
        self._before = [
            (buffer, buffer.clone())
            for child in self._module.modules()
            if child.training and getattr(child, 'track_running_stats', True)
            for buffer in child.buffers(recurse=False)
        ]

    def __exit__(self, *error: object) -> None:
        for buffer, value in self._before:
            buffer.data.copy_(value)  # past autograd, as the statistics' own updates
        self._before.clear()
