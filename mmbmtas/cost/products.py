"""Count convolutions and matrix products when torch dispatches them, and find what is not counted.

The mode below sees every operation of torch that runs within it: those of modules (``nn.Linear``),
of functions (``F.conv2d``) and of operators (``x @ y``). Shapes determine the cost.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_Cost = tuple[int, int]
"""Multiply-adds, and single operations in the paper's convention."""


def _sums(count: int, terms: int, with_bias: bool) -> _Cost:
    """Return the cost of ``count`` sums of ``terms`` products, with or without a bias."""
    return count * terms, count * (2 * terms - 1 + with_bias)


def _convolution(
    output: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any
) -> _Cost:
    # A weight's first axis is the output's channels, or the input's if transposed: what one element
    # on that side multiplies with is the rest of the weight.
    transposed = rest[3]
    madds = (x if transposed else output).numel() * math.prod(weight.shape[1:])
    return madds, 2 * madds - (output.numel() if bias is None else 0)


def _product(output: Tensor, a: Tensor, b: Tensor, *rest: Any) -> _Cost:
    return _sums(output.numel(), a.shape[-1], with_bias=False)


def _added_product(output: Tensor, bias: Tensor, a: Tensor, b: Tensor, *rest: Any) -> _Cost:
    return _sums(output.numel(), a.shape[-1], with_bias=True)


def _linear(output: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> _Cost:
    return _sums(output.numel(), input.shape[-1], with_bias=bias is not None)


def _attention(output: Any, query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> _Cost:
    scores = math.prod(query.shape[:-1]) * key.shape[-2]
    results = math.prod(query.shape[:-1]) * value.shape[-1]
    first = _sums(scores, query.shape[-1], with_bias=False)
    second = _sums(results, key.shape[-2], with_bias=False)
    return first[0] + second[0], first[1] + second[1]


_COSTS: dict[str, Callable[..., _Cost]] = {
    'aten::convolution': _convolution,
    'aten::convolution_overrideable': _convolution,
    **dict.fromkeys(('aten::mm', 'aten::bmm', 'aten::mv', 'aten::dot', 'aten::vdot'), _product),
    **dict.fromkeys(('aten::addmm', 'aten::baddbmm', 'aten::addmv'), _added_product),
    **{
        f'aten::_scaled_dot_product_{kind}': _attention
        for kind in (
            *('flash_attention', 'flash_attention_for_cpu', 'efficient_attention'),
            *('cudnn_attention', 'fused_attention_overrideable'),
        )
    },
}
_FREE = (
    *('prelu', 'batch_norm', 'layer_norm', 'group_norm', 'rms_norm', 'instance_norm', 'softmax'),
    *('mean', 'sum', 'var', 'std', 'norm', 'amax', 'amin', 'max', 'min', 'cumsum', 'pool'),
    *('upsample', 'embedding', 'index', 'gather', 'select', 'slice', 'cat', 'stack', 'pad'),
    *('clone', 'copy', 'contiguous', 'roll', 'flip', 'repeat', 'expand', 'dropout', 'bernoulli'),
    *('unfold', 'im2col', 'col2im', 'grid_sampler', 'sort', 'topk', 'where', 'masked', 'scatter'),
    *('triu', 'tril_indices', 'eye', 'linspace', 'rand'),
    *('empty', 'zeros', 'ones', 'full', 'arange', 'scalar_tensor', 'lift', 'view', 'reshape'),
)
"""Parts of the names of operations that multiply nothing with one another, or at most element by
element as a normalisation does."""


@dataclass
class _Call:
    """A running call of a module: whether it computed a product, and its other operations."""

    counted: bool = False
    others: list[str] = field(default_factory=list)


class ProductCounter(TorchDispatchMode):
    """Count convolutions and matrix products, and name the modules that do something else.

    A module is named if it has parameters of its own, computes no product that is counted, and runs
    an operation that is neither element by element nor a normalisation, pooling, look-up or copy.

    Args:
        module: The module that will be called within the mode.

    Attributes:
        madds: Multiply-adds so far.
        operations: Single operations in the paper's convention so far.
        uncounted: Operations that were not counted, by the name of their module.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.madds = 0
        self.operations = 0
        self.uncounted: dict[str, str] = {}
        self._calls: list[_Call] = [_Call()]
        self._hooks = [
            hook
            for name, part in module.named_modules()
            for hook in (
                part.register_forward_pre_hook(lambda *_: self._calls.append(_Call())),
                part.register_forward_hook(self._leaver(name)),
            )
        ]

    def _leaver(self, name: str) -> Callable[..., None]:
        """Make a hook that checks the operations of a call of the module ``name``."""

        def leave(part: nn.Module, *_: Any) -> None:
            call = self._calls.pop()
            owns = next(part.parameters(recurse=False), None) is not None
            if owns and call.others and not call.counted:
                done = ', '.join(dict.fromkeys(call.others))
                self.uncounted[name] = f'{type(part).__name__}: {done}'

        return leave

    def remove_hooks(self) -> None:
        """Leave the module as it was."""
        for hook in self._hooks:
            hook.remove()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and count it."""
        output = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name in _COSTS:
            madds, operations = _COSTS[name](output, *args)
            self.madds += madds
            self.operations += operations
            self._calls[-1].counted = True
        elif not _is_free(func, args, output):
            self._calls[-1].others.append(name)
        return output


class LinearBiases(TorchFunctionMode):
    """Correct a counter's operations if a linear layer adds its bias in a separate operation.

    The layout of the input decides whether it does.
    """

    def __init__(self, counter: ProductCounter) -> None:
        super().__init__()
        self.counter = counter

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run a function, and count the operations of a linear layer by its arguments."""
        before = self.counter.operations
        output = func(*args, **(kwargs or {}))
        if func is F.linear:
            self.counter.operations = before + _linear(output, *args, **(kwargs or {}))[1]
        return output


def _is_free(func: Any, args: tuple[Any, ...], output: Any) -> bool:
    """Whether an operation multiplies at most element by element."""
    name = func._schema.name.removeprefix('aten::')
    if torch.Tag.pointwise in func.tags:
        # Factors that are spread over one another are an outer product, mostly to be summed.
        sizes = [arg.numel() for arg in args if isinstance(arg, Tensor)]
        outer = len(sizes) > 1 and output.numel() > max(sizes)
        return not (outer and name in ('mul', 'mul_', 'div'))
    is_view = any(result.alias_info is not None for result in func._schema.returns)
    return is_view or name == 'tril' or any(part in name for part in _FREE)  # not _trilinear
