"""Count the multiply-adds of a torch module, in our convention and in the paper's.

A hook sees each call of a convolution or pooling module with the shapes that pass through it; the
rest is arithmetic on shapes. Parameters and inputs are replaced by ``meta`` tensors for the pass,
so nothing is computed, whatever the device and the size.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

_Conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ConvTranspose = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_MaxPool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_GlobalPool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


@dataclass(frozen=True)
class ModuleCost:
    """What one forward pass takes; costs add up and can be multiplied by a number of copies.

    Attributes:
        madds: Multiply-adds of the convolutions, counted as one each.
        operations: Single operations in the paper's convention, see :attr:`madds_paper`.
        params: Number of parameters.
    """

    madds: int = 0
    operations: int = 0
    params: int = 0

    @property
    def madds_paper(self) -> float:
        """Multiply-adds as in the paper's tables: half of all :attr:`operations`."""
        return self.operations / 2

    def __add__(self, other: 'ModuleCost') -> 'ModuleCost':
        return ModuleCost(
            self.madds + other.madds,
            self.operations + other.operations,
            self.params + other.params,
        )

    def __mul__(self, copies: int) -> 'ModuleCost':
        return ModuleCost(self.madds * copies, self.operations * copies, self.params * copies)

    __rmul__ = __mul__


def count_madds(module: nn.Module, *inputs: Any) -> ModuleCost:
    """Count the cost of one call ``module(*inputs)``, in evaluation mode.

    ``madds`` is kernel area x input channels / groups x output elements, over all convolutions
    (1-d to 3-d, transposed ones too, subclasses included). Not counted: biases, normalisation,
    activations, pooling, interpolation, linear layers, attention, and whatever a ``forward`` calls
    as a function (``F.conv2d``) and not as a module.

    ``madds_paper`` is the convention behind the paper's tables: half of all operations, where an
    output element of a convolution with ``K`` weights takes ``K`` multiplications and ``K - 1``
    additions (``K`` with a bias), an output element of max-pooling its kernel area, and global
    average pooling its input elements.

    A module that is called twice counts twice; its parameters count once. The batch is part of
    the input: give one image for the cost of one image. Training flags and parameters are left as
    they were.

    Args:
        module: The network or a part of it, on any device.
        *inputs: Tensors, or tuples, lists and dictionaries of tensors; only shapes matter.

    Example:
        >>> count_madds(nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.empty(1, 3, 10, 10))
        ModuleCost(madds=21600, operations=42400, params=216)
    """
    return forward_cost(module, *inputs)[1]


def forward_cost(module: nn.Module, *inputs: Any) -> tuple[Any, ModuleCost]:
    """Return also the call's output, on the ``meta`` device; otherwise like :func:`count_madds`."""
    cost = ModuleCost(params=sum(parameter.numel() for parameter in module.parameters()))

    def add(part: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal cost
        cost += _call_cost(part, args[0], output)

    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(_evaluating(module))
        for part in module.modules():
            if isinstance(part, (*_Conv, *_ConvTranspose, *_MaxPool, *_GlobalPool)):
                stack.callback(part.register_forward_hook(add).remove)
        output = functional_call(module, _to_meta(tensors), _to_meta(inputs))
    return output, cost


def _call_cost(part: nn.Module, x: Tensor, output: Tensor) -> ModuleCost:
    """Cost of one call of a counted module, without its parameters."""
    if isinstance(part, (*_Conv, *_ConvTranspose)):
        # A weight's first axis is the output's channels, or the input's if transposed: what one
        # element on that side multiplies with is the rest of the weight.
        elements = x.numel() if isinstance(part, _ConvTranspose) else output.numel()
        madds = elements * part.weight[0].numel()
        return ModuleCost(madds, 2 * madds - (output.numel() if part.bias is None else 0))
    if isinstance(part, _MaxPool):
        size = part.kernel_size
        area = math.prod(size) if isinstance(size, tuple) else size ** (x.dim() - 2)
        return ModuleCost(operations=area * output.numel())
    return ModuleCost(operations=x.numel())


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode for a while; each part gets its own flag back."""
    flags = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in flags.items():
            part.training = training


def _to_meta(value: Any) -> Any:
    """Replace the tensors of a nested value by empty ones on the ``meta`` device."""
    if isinstance(value, Tensor):
        return value.to('meta')
    if isinstance(value, (tuple, list)):
        return type(value)(_to_meta(item) for item in value)
    if isinstance(value, dict):
        return {key: _to_meta(item) for key, item in value.items()}
    return value
