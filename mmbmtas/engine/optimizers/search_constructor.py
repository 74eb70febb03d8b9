"""Optimisers of the search: one for the model weights, one for the architecture parameters."""

from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIMIZERS
from torch import nn

from mmbmtas.errors import InputError
from mmbmtas.models.backbones import Supernet
from mmbmtas.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

from .jacobian import JacobianOptimWrapper

_NAMES = {'weights', 'arch_params'}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SearchOptimWrapperConstructor:
    """Build an ``OptimWrapperDict`` with the wrappers ``weights`` and ``arch_params``.

    ``weights`` may be a :class:`JacobianOptimWrapper`, without gradient accumulation.

    Args:
        optim_wrapper_cfg: A wrapper's config under each of the two names.
        paramwise_cfg: Not supported.

    Raises:
        ValueError: The names are others, or there is a ``paramwise_cfg``; gradients are to be
            aggregated for ``arch_params``, or over several iterations for ``weights``.

    Example:
        >>> optim_wrapper = dict(
        ...     constructor='SearchOptimWrapperConstructor',
        ...     weights=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.005)),
        ...     arch_params=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.01)))
    """

    def __init__(
        self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None
    ) -> None:
        if set(optim_wrapper_cfg) != _NAMES or paramwise_cfg:
            raise InputError(
                f'optim_wrapper of a search has {sorted(optim_wrapper_cfg)}, '
                f'expected {sorted(_NAMES)} and no paramwise_cfg'
            )
        self.optim_wrapper_cfg = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build both wrappers for ``model``, a :class:`SearchEncoderDecoder`, wrapped or not."""
        network: Any = getattr(model, 'module', model)
        backbone: Supernet = network.backbone
        arch_params = [*backbone.architecture_parameters()]
        searched = {id(parameter) for parameter in arch_params}
        params = {
            'weights': [p for p in network.parameters() if id(p) not in searched],
            'arch_params': arch_params,
        }
        wrappers = {name: self._build(name, params[name]) for name in ('weights', 'arch_params')}
        _check_aggregation(**wrappers)
        return OptimWrapperDict(**wrappers)

    def _build(self, name: str, params: list[nn.Parameter]) -> OptimWrapper:
        """Build one wrapper."""
        cfg = dict(self.optim_wrapper_cfg[name])
        optimizer = OPTIMIZERS.build({**cfg.pop('optimizer'), 'params': params})
        cfg.setdefault('type', 'OptimWrapper')
        return OPTIM_WRAPPERS.build(cfg, default_args=dict(optimizer=optimizer))


def _check_aggregation(weights: OptimWrapper, arch_params: OptimWrapper) -> None:
    """Refuse to aggregate gradients where there is nothing to, or not in one iteration."""
    if isinstance(arch_params, JacobianOptimWrapper):
        raise InputError(
            'optim_wrapper.arch_params: every task has architecture parameters of its own, there '
            'are no gradients to aggregate; expected OptimWrapper'
        )
    if isinstance(weights, JacobianOptimWrapper) and weights._accumulative_counts > 1:
        raise InputError(
            'optim_wrapper.weights: a search aggregates gradients in every iteration, expected '
            f'accumulative_counts=1, found {weights._accumulative_counts}'
        )
