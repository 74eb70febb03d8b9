"""Faster or smaller replacements of slow torch operations, with the same results."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

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
    """Convolve as ``F.conv2d``, in another way where a dilated depthwise one runs on a CPU.

    oneDNN has no fast kernels for the gradients of these: at 960 channels they take 25 times the
    forward pass. Pixels that a dilated kernel joins lie ``dilation`` rows and columns apart, so
    that each of ``dilation * dilation`` images of every such pixel is convolved by the kernel
    without dilation: the same sums, and 2 to 6 times as fast.

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
    slow = depthwise and stride == (1, 1) and max(dilation) > 1 and x.device.type == 'cpu'
    if slow and not isinstance(padding, str):
        shares = [divmod(p, d) for p, d in zip(padding, dilation, strict=True)]
        if not any(rest for _, rest in shares):
            rows, columns = (share for share, _ in shares)
            return _convolve_apart(x, weight, bias, (rows, columns), dilation)
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


def _convolve_apart(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: _Pair, dilation: _Pair
) -> Tensor:
    """Convolve depthwise, with a dilation, the images of every ``dilation``-th pixel.

    Args:
        x: Maps.
        weight: Kernels.
        bias: Or none.
        padding: Zeros at each side of these images.
        dilation: Distance of their pixels in the maps.
    """
    down, across = dilation
    height, width = x.shape[2:]
    x = F.pad(x, (0, -width % across, 0, -height % down))  # zeros, as the padding itself
    count, channels, *size = x.shape
    # Channels last, so that whole pixels are moved.
    x = x.permute(0, 2, 3, 1).reshape(
        count, size[0] // down, down, size[1] // across, across, channels
    )
    x = x.permute(0, 2, 4, 1, 3, 5).flatten(0, 2).permute(0, 3, 1, 2)
    y = F.conv2d(x, weight, bias, 1, padding, 1, len(weight))
    y = y.permute(0, 2, 3, 1).unflatten(0, (count, down, across))
    y = y.permute(0, 3, 1, 4, 2, 5).flatten(1, 2).flatten(2, 3).permute(0, 3, 1, 2)
    shrink = [
        2 * p * d - d * (kernel - 1)
        for p, d, kernel in zip(padding, dilation, weight.shape[2:], strict=True)
    ]
    y = y[:, :, : height + shrink[0], : width + shrink[1]]
    return y.contiguous(memory_format=torch.channels_last)


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
