"""Runs the candidates of a layer as one wide operation, not one after another.

The maps of ``T`` candidates lie side by side in the channels, ``(N, T * C, H, W)``, candidate by
candidate. Convolutions of the layer's input, which is the same for all candidates, become one with
``T`` times the output channels; those of the candidates' own maps become a grouped one, and
normalisations one over all channels. The mathematics is that of the candidates, and so are the
parameters and running statistics, which are read as one (:mod:`mmbmtas.models.backbones.joining`).

Blocks with dense 3x3 convolutions, ResNet's and ASPP, run one by one: grouped ones are slow, and
their joined weights are large (on ResNet-50 twice the time, and more memory than the maps take).
"""

import copy
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Any
from weakref import WeakKeyDictionary

import torch
from mmcv.cnn import ConvModule
from mmengine.utils.dl_utils.parrots_wrapper import SyncBatchNorm
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.utils import InvertedResidual
from torch import Tensor, nn
from torch.nn import functional as F

from mmbmtas.encoders.context import ContextModule, require_several_values

from .joining import join, put_back
from .operations import conv2d, relu6_

Modules = Sequence[Any]
"""The same part of each candidate."""

_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, SyncBatchNorm)
_HOOKS = ('_forward_pre_hooks', '_forward_hooks', '_backward_pre_hooks', '_backward_hooks')


def fits(candidates: nn.ModuleList) -> bool:
    """Tell whether the candidates of a layer can run as one.

    They must be alike but for their weights, of blocks and parts that are known here, which is
    looked up again where a part was replaced. A hook on any part, or a ``forward`` put in the place
    of its own, would not be called; as long as there is one they cannot. Nor can they while some
    train and others do not.
    """
    if candidates not in _checked or not _checked[candidates].is_of_today():
        _checked[candidates] = _Look(candidates)
    states = [*map(vars, _checked[candidates].parts)]
    if not states or any(map(_is_watched, states)):
        return False
    flags = [(state['training'], state.get('track_running_stats')) for state in states]
    return flags == flags[: len(flags) // len(candidates)] * len(candidates)


def are_known(candidates: nn.ModuleList) -> bool:
    """Tell whether the candidates of a layer are alike and of known blocks, as they are now."""
    return bool(_Look(candidates).parts)


class _Look:
    """What was found in the candidates of a layer.

    Attributes:
        parts: All modules in them, candidate by candidate; none if they cannot run as one.
    """

    def __init__(self, candidates: nn.ModuleList) -> None:
        modules = [*candidates.modules()]
        alike = len({*map(repr, candidates)}) == 1 and type(candidates[0]) in _MIXTURES
        self.parts = modules[1:] if alike and all(map(_is_known, modules[1:])) else []
        self._children = [(m._modules, [*m._modules.values()]) for m in modules]

    def is_of_today(self) -> bool:
        """Tell whether no module was replaced since."""
        return all([*children.values()] == found for children, found in self._children)


_checked: WeakKeyDictionary[nn.ModuleList, _Look] = WeakKeyDictionary()


def mixture(candidates: Modules, weights: Sequence[Tensor], x: Tensor) -> Tensor:
    """Sum the outputs of some candidates, of a layer that :func:`fits`, by their weights.

    Args:
        candidates: Candidates of a layer, at least two, alike but for their weights.
        weights: The weight of each, 0-d.
        x: Input of the layer, ``(N, C_in, H, W)``.

    Returns:
        ``sum_c weights[c] * candidates[c](x)``.
    """
    return _MIXTURES[type(candidates[0])](candidates, torch.stack([*weights]), x)


def _is_watched(state: dict[str, Any]) -> bool:
    """Tell whether a module has hooks or a replaced forward."""
    return any(state[name] for name in _HOOKS) or 'forward' in state


def _is_known(module: Any) -> bool:
    """Tell whether a part of a candidate is computed here as its own ``forward`` would."""
    kind = type(module)
    if kind is nn.Conv2d:
        slim = module.kernel_size == (1, 1) or module.groups == module.out_channels
        return slim and module.padding_mode == 'zeros'
    if kind is ConvModule:
        return module.order == ('conv', 'norm', 'act') and module.with_norm
    if kind is InvertedResidual:
        return not module.with_cp
    if kind in _NORMS:  # else the share of a batch depends on how many there were
        return module.momentum is not None
    return kind in _PLAIN


def _mix_inverted_residuals(blocks: Modules, weights: Tensor, x: Tensor) -> Tensor:
    *first, last = zip(*(block.conv for block in blocks), strict=True)
    y = reduce(lambda maps, modules: run_conv_modules(modules, maps), first, x)
    y = run_norms(_parts(last, 'norm'), run_convs(_parts(last, 'conv'), y), weights)
    y = _sum(y, len(blocks))
    if not blocks[0].use_res_connect:
        return y
    # Weights that sum to one add the input up to itself; it is not said that they do. Of several
    # types autocast on GPUs would return the widest.
    return torch.addcmul(y, x, weights.sum().to(y.dtype))


def _mix_context_modules(modules: Modules, weights: Tensor, x: Tensor) -> Tensor:
    views = [
        run_conv_modules(branch, x) for branch in zip(*_parts(modules, 'branches'), strict=True)
    ]
    pools, convs = zip(*_parts(modules, 'image_pool'), strict=True)
    require_several_values(convs[0], len(x), 'image pooling')
    pooled = run_conv_modules(convs, pools[0](x)).expand(-1, -1, *x.shape[2:])
    own = zip(*(maps.chunk(len(modules), dim=1) for maps in (*views, pooled)), strict=True)
    joined = torch.cat([maps for views_of_one in own for maps in views_of_one], dim=1)
    joined = modules[0].dropout(joined)
    y = run_conv_modules(_parts(modules, 'projection'), joined).chunk(len(modules), dim=1)
    return reduce(add, (weight * maps for weight, maps in zip(weights, y, strict=True)))


def _parts(modules: Modules, name: str) -> list[Any]:
    """Return the part of each module that has this name."""
    return [getattr(module, name) for module in modules]


def _sum(y: Tensor, count: int) -> Tensor:
    """Sum maps that lie side by side."""
    return reduce(add, y.chunk(count, dim=1))


def run_conv_modules(modules: Modules, x: Tensor) -> Tensor:
    """Convolve, normalise and activate."""
    y = run_norms(_parts(modules, 'norm'), run_convs(_parts(modules, 'conv'), x))
    if not modules[0].with_activation:
        return y
    return relu6_(y) if isinstance(modules[0].activate, nn.ReLU6) else F.relu_(y)


def run_convs(convs: Modules, x: Tensor) -> Tensor:
    """Convolve the common input of all candidates, or the maps of each."""
    first = convs[0]
    if x.shape[1] > first.in_channels:
        groups = len(convs) * first.groups
    elif first.groups == 1:
        groups = 1
    elif len(convs) == 1:
        groups = first.groups
    else:  # no grouped convolution has several groups read the same channels
        return torch.cat([run_convs([conv], x) for conv in convs], dim=1)
    weight = join(_parts(convs, 'weight'))
    bias = None if first.bias is None else join(_parts(convs, 'bias'))
    return conv2d(x, weight, bias, first.stride, first.padding, first.dilation, groups)


def run_norms(norms: Modules, x: Tensor, weights: Tensor | None = None) -> Tensor:
    """Normalise the maps of all candidates.

    Args:
        norms: Their normalisations.
        x: Their maps.
        weights: What to multiply each one's maps by, ``(T,)``; they take part as the affine weight.
    """
    first = norms[0]
    if len(norms) == 1 and weights is None:
        return first(x)
    joint = copy.copy(first)  # it runs as each would, on the channels of all
    joint.num_features = len(norms) * first.num_features
    joint._parameters = first._parameters | _joined(norms, 'weight', 'bias')
    if weights is not None:
        scale = weights.repeat_interleave(first.num_features)
        affine = {name: p * scale for name, p in joint._parameters.items() if p is not None}
        joint._parameters |= {'weight': scale} | affine
    learns = first.training and first.track_running_stats
    statistics: dict[str, Tensor] = {}
    if len(norms) > 1 and first.running_mean is not None and (learns or not first.training):
        names = [name for name, buffer in first._buffers.items() if buffer is not None]
        statistics = _joined(norms, *names)
        joint._buffers = first._buffers | statistics
    y = joint(x)
    if learns:
        for name, joined in statistics.items():
            put_back(joined, _parts(norms, name))
    return y


def _joined(modules: Modules, *names: str) -> dict[str, Tensor]:
    """Return tensors of the candidates, one after another in their first dimension."""
    present = [name for name in names if getattr(modules[0], name) is not None]
    return {name: join(_parts(modules, name)) for name in present}


_MIXTURES: dict[type, Callable[[Modules, Tensor, Tensor], Tensor]] = {
    InvertedResidual: _mix_inverted_residuals,
    ContextModule: _mix_context_modules,
}
_PLAIN = {
    nn.Sequential,
    nn.ReLU,
    nn.ReLU6,
    nn.AdaptiveAvgPool2d,
    nn.Dropout,
    ASPPModule,
    *_MIXTURES,
}
