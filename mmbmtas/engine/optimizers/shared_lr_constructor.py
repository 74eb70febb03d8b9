"""Learning rates of a branched network: what n tasks share learns at 1/n."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from mmbmtas.errors import InputError
from mmbmtas.models.backbones import Backbone
from mmbmtas.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SharedLrOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Divide the learning rate of every operation by the number of tasks that share it.

    An operation shared by ``n`` tasks receives the sum of their gradients; at ``1/n`` of the rate
    it moves as far as one that serves a single task (method section 5). The stem counts as shared
    by all tasks, which is our reading; decoders serve one task each. The ``weight_decay`` setting
    is the same everywhere. The authors' public code has no such division; leaving this constructor
    out of the config gives that.

    The backbone says what is shared through ``shared_by()``; see :class:`Backbone`.
    ``paramwise_cfg`` works as in mmengine, its rates divided likewise.

    Raises:
        ValueError: The optimiser's config has no ``lr``.

    Example:
        >>> optim_wrapper = dict(
        ...     constructor='SharedLrOptimWrapperConstructor',
        ...     optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=1e-4))
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper for ``model``, a :class:`MultiTaskEncoderDecoder`, wrapped or not."""
        if self.base_lr is None:
            raise InputError(f'optimizer.lr is missing in {self.optimizer_cfg}')
        network: Any = getattr(model, 'module', model)
        backbone: Backbone = network.backbone
        self._sharing = {
            parameter: tasks
            for module, tasks in backbone.shared_by()
            for parameter in module.parameters()
        }
        # mmengine visits parameters one by one only if there is something to say of them.
        self.paramwise_cfg: dict[str, Any] = self.paramwise_cfg or dict(custom_keys={})
        return super().__call__(model)

    def add_params(
        self, params: list[dict[str, Any]], module: nn.Module, prefix: str = '', **kwargs: Any
    ) -> None:
        """Add the parameters of ``module``; at the top also divide rates and join equal groups."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        if prefix:
            return
        base_lr: Any = self.base_lr  # not None, as __call__ has seen
        groups: dict[tuple, dict[str, Any]] = {}
        for group in params:
            (parameter,) = group.pop('params')
            group['lr'] = group.get('lr', base_lr) / self._sharing.get(parameter, 1)
            key = tuple(sorted(group.items()))
            groups.setdefault(key, {**group, 'params': []})['params'].append(parameter)
        params[:] = groups.values()
