"""Hooks that act between the phases of a search and around its iterations."""

from typing import Any

from mmengine.hooks import Hook, ParamSchedulerHook
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.errors import InputError
from mmbmtas.registry import HOOKS
from mmbmtas.structures.documents import is_positive_number

from .searched import phases_of


@HOOKS.register_module()
class TemperatureHook(Hook):
    """Anneal the temperature of the Gumbel-softmax linearly (paper, section 3.2).

    It stands at ``start`` during warm-up, then falls to ``end`` at the last iteration.

    Args:
        start: Temperature at the beginning.
        end: Temperature at the end, above 0.
        by_cycle: Whether it falls where a cycle of both splits begins, and is ``end`` in the last
            one, as in the authors' public code. By default it falls in every iteration.

    Example:
        >>> custom_hooks = [dict(type='TemperatureHook', start=5.0, end=0.1)]
    """

    def __init__(self, start: float = 5.0, end: float = 0.1, by_cycle: bool = False) -> None:
        if not (is_positive_number(start) and is_positive_number(end)):
            raise InputError(f'temperatures {start!r} and {end!r}: expected numbers above 0')
        self.start = start
        self.end = end
        self.by_cycle = by_cycle

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the temperature of this iteration."""
        loop = phases_of(runner, self)
        progress = loop.plan.progress(runner.iter, self.by_cycle)
        tau = self.start + (self.end - self.start) * progress
        loop.model.backbone.tau = tau
        runner.message_hub.update_scalar('train/tau', tau)


@HOOKS.register_module()
class OptimizerStateResetHook(Hook):
    """Forget an optimiser's moments where its phase begins (method section 2).

    At the start of each architecture phase that of the architecture parameters, at the start of
    each weight phase that of the weights.

    Example:
        >>> custom_hooks = [dict(type='OptimizerStateResetHook')]
    """

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Reset if this is the first iteration of a phase."""
        position = phases_of(runner, self).position
        if position.index == 0:
            name = 'arch_params' if position.phase == 'arch' else 'weights'
            runner.optim_wrapper[name].optimizer.state.clear()


@HOOKS.register_module()
class SearchBatchNormHook(Hook):
    """Let the encoder layers normalise by the batch alone in architecture phases.

    There the routings change from step to step, and statistics over past ones describe none of
    them. Running statistics are neither used nor updated; before the weights train again they are
    reset. Stem and decoders go on as usual (method section 2).

    Example:
        >>> custom_hooks = [dict(type='SearchBatchNormHook')]
    """

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Switch where a phase begins, and where a resumed search finds itself in one."""
        loop = phases_of(runner, self)
        position = loop.position
        tracks = position.phase != 'arch'
        for module in loop.model.backbone.searched_modules():
            if isinstance(module, _BatchNorm):
                module.track_running_stats = tracks
                if position.phase == 'weights' and position.index == 0:
                    module.reset_running_stats()


@HOOKS.register_module()
class SearchParamSchedulerHook(ParamSchedulerHook):
    """Advance the learning rate with the iterations of the weights only (method section 2).

    It takes the place of mmengine's hook.

    Example:
        >>> default_hooks = dict(param_scheduler=dict(type='SearchParamSchedulerHook'))
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Step the schedulers unless the architecture was trained."""
        if phases_of(runner, self).position.phase != 'arch':
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
