"""Faster or smaller replacements of slow torch operations, with the same results."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

_Pair = tuple[int, int]


def relu6_(x: Tensor) -> Tensor:
    """Clip to 0..6 in place, and keep the result alone for the backward pass.

    ``F.relu6(x, inplace=True)`` copies its input first, since its gradient is written in terms of
    it. The result tells as much.
    """
    return _ReLU6.apply(x)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: _Pair,
    padding: _Pair | str,
    dilation: _Pair,
    groups: int,
) -> Tensor:
    """Convolve as ``F.conv2d``, with another backward pass of dilated depthwise ones on CPUs.

    oneDNN has no fast kernel for the gradient of their input: at 960 channels it takes 25 times the
    forward pass. With stride 1 it is itself a depthwise convolution, by the turned kernel.

    Args:
        x: Maps, ``(N, C_in, H, W)``.
        weight: Kernels, ``(C_out, C_in / groups, height, width)``.
        bias: ``(C_out,)``, or none.
        stride: By rows and columns, as the others.
        padding: Zeros at each side, or ``same`` or ``valid``.
        dilation: Distance of a kernel's rows and columns.
        groups: Parts of the channels that do not see one another.
    """
    depthwise = weight.shape[1] == 1 and groups == weight.shape[0]
    slow = depthwise and stride == (1, 1) and max(dilation) > 1 and bias is None
    if slow and x.device.type == 'cpu' and not isinstance(padding, str):
        return _DepthwiseConv2d.apply(x, weight, padding, dilation)
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


class _ReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        ctx.save_for_backward(x.clamp_(0, 6))
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grad, result, 0.0, 6.0)


class _DepthwiseConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: _Pair, dilation: _Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.dilation = padding, dilation
        return F.conv2d(x, weight, None, 1, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = (
            tensor.to(grad.dtype) for tensor in ctx.saved_tensors
        )  # autocast has changed it
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            reach = zip(ctx.dilation, weight.shape[2:], ctx.padding, strict=True)
            padding = tuple(d * (k - 1) - p for d, k, p in reach)
            turned = weight.flip(2, 3)
            grad_x = F.conv2d(grad, turned, None, 1, padding, ctx.dilation, len(weight))
        if ctx.needs_input_grad[1]:
            grad_weight = conv2d_weight(
                x, weight.shape, grad, 1, ctx.padding, ctx.dilation, len(weight)
            )
        return grad_x, grad_weight, None, None
