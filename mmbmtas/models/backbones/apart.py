"""The candidates of a layer one after another, in the ways that CPUs compute fastest.

Maps have their channels last. The mathematics is that of the candidates, as in
:mod:`mmbmtas.models.backbones.wide`; each one's maps lie in memory of their own, which fits the
caches better where maps are large.

The first convolution of an inverted residual is pointwise and has more channels than its input.
:func:`expand` normalises its output by the moments of the *input*, so that the wide maps are
neither kept nor read for it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .wide import run_conv_modules, run_convs, run_norms

Modules = Sequence[Any]


def mixture(blocks: Modules, weights: Sequence[Tensor], x: Tensor, folds: bool = False) -> Tensor:
    """Sum the outputs of some inverted residuals by their weights.

    Args:
        blocks: Candidates of a layer that ``wide.fits``, of inverted residuals.
        weights: The weight of each, 0-d.
        x: Input of the layer, ``(N, C_in, H, W)``.
        folds: Whether to fold the first normalisation (:func:`expand`); see :func:`can_fold`.

    Returns:
        ``sum_c weights[c] * blocks[c](x)``.
    """
    expanded = expand([block.conv[0] for block in blocks], x) if folds else [x] * len(blocks)
    total: Tensor | None = None
    for block, weight, y in zip(blocks, weights, expanded, strict=True):
        *first, last = block.conv[1:] if folds else block.conv
        for module in first:
            y = run_conv_modules([module], y)
        y = run_norms([last.norm], run_convs([last.conv], y), weight[None])
        total = y if total is None else total + y
    assert total is not None
    if not blocks[0].use_res_connect:
        return total
    # As in wide.py: weights that sum to one are not said to.
    return torch.addcmul(total, x, torch.stack([*weights]).sum().to(total.dtype))


def can_fold(block: Any, x: Tensor) -> bool:
    """Tell whether :func:`expand` can compute the first convolution of a candidate.

    It must be pointwise, and normalised over the batch without other ranks, in the precision of its
    weights, on a CPU.
    """
    if len(block.conv) < 3 or x.device.type != 'cpu' or _is_autocast():
        return False
    module = block.conv[0]
    norm, conv = module.norm, module.conv
    return (
        type(norm) is nn.BatchNorm2d
        and norm.weight is not None
        and x.dtype == conv.weight.dtype == norm.weight.dtype
        and x.dtype in (torch.float32, torch.float64)
        and (norm.training or norm.running_mean is None)
        and conv.kernel_size == (1, 1)
        and conv.stride == (1, 1)
        and conv.padding == (0, 0)
        and conv.groups == 1
        and conv.bias is None
        and isinstance(getattr(module, 'activate', None), nn.ReLU6)
        and module.with_activation
        and len(x) * x.shape[2] * x.shape[3] > 1  # else torch's own error
    )


def _is_autocast() -> bool:
    """Tell whether autocast is on for CPUs, which torch asks otherwise before 2.4."""
    try:
        return torch.is_autocast_enabled('cpu')
    except TypeError:
        return torch.is_autocast_cpu_enabled()


def expand(modules: Modules, x: Tensor) -> list[Tensor]:
    """Convolve pointwise, normalise over the batch and clip to 0..6, for each of some modules.

    With ``y = W x``, mean and variance of ``y`` follow from those of the few channels of ``x``::

        mean(y) = W mean(x)        var(y) = diag(W cov(x) W^T)

    so that all is one product, ``clip(diag(gamma / std(y)) W (x - mean(x)) + beta)``. Backwards,
    the sums over ``dy * y`` that a normalisation needs are ``diag(dy (x - mean(x))^T W^T)``, whose
    first product is a part of the gradient of ``W``. Moments are computed in double precision.

    Args:
        modules: Pointwise convolutions with batch normalisation and ReLU6, see :func:`can_fold`.
        x: Their common input, ``(N, C_in, H, W)``.

    Returns:
        The output of each, ``(N, C_out, H, W)`` with channels last.
    """
    norms = [module.norm for module in modules]
    rows = x.permute(0, 2, 3, 1).flatten(0, 2)
    found = _Expand.apply(
        rows,
        norms[0].eps,
        *(module.conv.weight.flatten(1) for module in modules),
        *(norm.weight for norm in norms),
        *(norm.bias for norm in norms),
    )
    outputs, means, variances = (found[i::3] for i in range(3))
    for norm, mean, variance in zip(norms, means, variances, strict=True):
        if norm.training and norm.track_running_stats:
            unbiased = variance * (len(rows) / (len(rows) - 1))
            norm.running_mean.lerp_(mean, norm.momentum)
            norm.running_var.lerp_(unbiased, norm.momentum)
            norm.num_batches_tracked.add_(1)
    size = len(x), *x.shape[2:]
    return [y.unflatten(0, size).permute(0, 3, 1, 2) for y in outputs]


class _Expand(torch.autograd.Function):
    """:func:`expand` of rows ``(M, K)``; gives outputs ``(M, O)``, means and variances in turn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, *parameters: Tensor) -> tuple[Tensor, ...]:
        count = len(parameters) // 3
        weights, gammas, betas = (parameters[i * count : (i + 1) * count] for i in range(3))
        exact = x.double()
        mean = exact.mean(dim=0)
        covariance = (exact - mean).T @ (exact - mean) / len(x)
        centred = x - mean.to(x)
        found, spread, scales = [], [], []
        for weight, gamma, beta in zip(weights, gammas, betas, strict=True):
            across = weight.double() @ covariance
            variance = (across * weight).sum(dim=1).clamp_(min=0)
            inverse = (variance + eps).rsqrt().to(x)
            y = torch.addmm(beta, centred, (weight * (gamma * inverse)[:, None]).T)
            found += [y.clamp_(0, 6), (weight.double() @ mean).to(x), variance.to(x)]
            spread.append(across.to(x))
            scales.append(inverse)
        ctx.mark_non_differentiable(*found[1::3], *found[2::3])
        ctx.count = count
        ctx.save_for_backward(centred, *weights, *gammas, *scales, *spread, *found[::3])
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        n = ctx.count
        centred, *saved = ctx.saved_tensors
        groups = zip(*(saved[i * n : (i + 1) * n] for i in range(5)), gradients[::3], strict=True)
        needs = ctx.needs_input_grad[2:]
        dx = joint = shift = None
        of_weights: list[Tensor | None] = []
        of_gammas, of_betas = [], []
        for index, (weight, gamma, inverse, across, y, gradient) in enumerate(groups):
            d = torch.ops.aten.hardtanh_backward(gradient, y, 0.0, 6.0)
            outer = d.T @ centred
            of_gammas.append((outer * weight).sum(dim=1) * inverse)
            of_betas.append(d.sum(dim=0))
            # Through the normalisation: a * d + b * (y - mean(y)) - mean(a * d).
            a = gamma * inverse
            b = -a * inverse * of_gammas[-1] / len(centred)
            of_weights.append(None)
            if needs[index]:
                of_weights[-1] = a[:, None] * outer + (b * len(centred))[:, None] * across
            if ctx.needs_input_grad[0]:
                scaled = a[:, None] * weight
                dx = d @ scaled if dx is None else dx.addmm_(d, scaled)
                product = weight.T @ (b[:, None] * weight)
                joint = product if joint is None else joint + product
                offset = (of_betas[-1] / len(centred)) @ scaled
                shift = offset if shift is None else shift + offset
        if dx is not None:
            dx = dx.addmm_(centred, joint).sub_(shift)
        return dx, None, *of_weights, *of_gammas, *of_betas
