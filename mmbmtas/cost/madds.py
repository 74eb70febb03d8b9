"""Count the multiply-adds of a torch module, in our convention and in the paper's.

Convolutions and matrix products are counted when torch dispatches them, and pooling by hooks on
its modules. The rest is arithmetic on shapes. For the pass, ``meta`` tensors replace parameters and
inputs, so nothing is computed, on any device and at any size.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.cost.products import LinearBiases, ProductCounter

_MaxPool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_GlobalPool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


@dataclass(frozen=True)
class ModuleCost:
    """Cost of one forward pass. Costs can be added and multiplied by a number of copies.

    Attributes:
        madds: Multiply-adds of convolutions and matrix products, counted as one each.
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
    (1-d to 3-d, transposed ones too), and inner size x output elements over all matrix products:
    linear layers, attention (both of its products), ``@``, ``einsum``. A module, a function or an
    operator may compute them. Operations that work element by element or multiply nothing are not
    counted: biases, normalisation, activations (PReLU too), scales of channels or layers, masks,
    softmax, pooling, interpolation, look-ups.

    ``madds_paper`` is the convention behind the paper's tables: half of all operations. An output
    element of a convolution or product with ``K`` weights takes ``K`` multiplications and ``K - 1``
    additions (``K`` with a bias). An output element of max-pooling takes its kernel area, and
    global average pooling takes its input elements.

    If a module with parameters does anything else, a ``RuntimeWarning`` names it, and its cost is
    left out.

    A module that is called twice counts twice; its parameters count once. The batch is part of
    the input: give one image for the cost of one image. Training flags and parameters do not
    change.

    Args:
        module: The network or a part of it, on any device.
        *inputs: Tensors, or tuples, lists and dictionaries of tensors; only shapes matter.

    Example:
        >>> count_madds(nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.empty(1, 3, 10, 10))
        ModuleCost(madds=21600, operations=42400, params=216)
    """
    return forward_cost(module, *inputs)[1]


def forward_cost(module: nn.Module, *inputs: Any) -> tuple[Any, ModuleCost]:
    """Do as :func:`count_madds`, and also return the call's output, on the ``meta`` device."""
    cost = ModuleCost(params=sum(parameter.numel() for parameter in module.parameters()))

    def add(part: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal cost
        cost += _pooling_cost(part, args[0], output)

    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(_evaluating(module))
        for part in module.modules():
            if isinstance(part, (*_MaxPool, *_GlobalPool)):
                stack.callback(part.register_forward_hook(add).remove)
        counter = ProductCounter(module)
        stack.callback(counter.remove_hooks)
        meta = _to_meta(_tensors_of(module)), _to_meta(inputs)
        stack.enter_context(counter)
        stack.enter_context(LinearBiases(counter))
        # Every module once: torch would put back a module of two names with a tensor of this pass.
        output = functional_call(module, *meta, tie_weights=False)
    if counter.uncounted:
        named = ', '.join(
            f'{name or "the module itself"} ({what})' for name, what in counter.uncounted.items()
        )
        warnings.warn(
            f'multiply-adds of {type(module).__name__} do not count what these parts with '
            f'parameters compute: {named}',
            RuntimeWarning,
            stacklevel=3,
        )
    return output, cost + ModuleCost(counter.madds, counter.operations)


def _tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name; those of a module of several names once."""
    return {
        f'{name}.{key}' if name else key: tensor
        for name, part in module.named_modules()
        for own in (part.named_parameters(recurse=False), part.named_buffers(recurse=False))
        for key, tensor in own
    }


def _pooling_cost(part: nn.Module, x: Tensor, output: Tensor) -> ModuleCost:
    """Return the cost of one call of a pooling module."""
    if isinstance(part, _MaxPool):
        size = part.kernel_size
        area = math.prod(size) if isinstance(size, tuple) else size ** (x.dim() - 2)
        return ModuleCost(operations=area * output.numel())
    return ModuleCost(operations=x.numel())


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode for a while; each part gets its own flag back.

    A batch normalisation without statistics would want several values of a channel: it gets some.
    """
    flags = {part: part.training for part in module.modules()}
    bare = [part for part in flags if isinstance(part, _BatchNorm) and part.running_mean is None]
    module.eval()
    try:
        for norm in bare:
            norm.running_mean = norm.running_var = torch.empty(norm.num_features, device='meta')
        yield
    finally:
        for norm in bare:
            norm.running_mean = norm.running_var = None
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
