"""Hooks that detect failing trainings early."""

import logging
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor, nn

from mmbmtas.engine.failures import NonFiniteGradientError, listed
from mmbmtas.engine.wrapping import unwrapped
from mmbmtas.errors import InputError
from mmbmtas.registry import HOOKS

from .searched import phases_of

_SHARED, _APART = 'all tasks share all layers', 'no two tasks share a layer'


@HOOKS.register_module()
class NonFiniteGradientHook(Hook):
    """End a training whose gradients are infinite or not a number, before its weights are saved.

    The norm of each parameter's gradient is taken before every step of an optimiser and looked at
    once an iteration, so that a GPU need not be waited for more often. Steps that a gradient scaler
    (``--amp`` on GPUs) leaves out for an overflow do not count.

    Example:
        >>> default_hooks = dict(gradients=dict(type='NonFiniteGradientHook'))
    """

    priority = 'HIGH'

    def __init__(self) -> None:
        self._loop: Any = None
        self._steps: list[tuple[str | None, list[nn.Parameter], Tensor]] = []

    def before_train(self, runner: Runner) -> None:
        """Look at every step of every optimiser."""
        self._loop = runner.train_loop
        wrappers = runner.optim_wrapper
        for wrapper in wrappers.values() if hasattr(wrappers, 'values') else [wrappers]:
            wrapper.optimizer.register_step_pre_hook(self._measure)

    def _measure(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Keep the norms of the gradients that an optimiser is about to step with."""
        if hasattr(optimizer, 'found_inf'):  # a scaler judges within the step
            return
        groups = optimizer.param_groups
        params = [p for group in groups for p in group['params'] if p.grad is not None]
        if params:
            norms = torch._foreach_norm([p.grad for p in params])
            task = getattr(self._loop, 'task', None)
            self._steps.append((task, params, torch.stack(list(norms))))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Raise if a gradient of this iteration was not finite.

        Raises:
            NonFiniteGradientError: One was; it names parameters and, in a search, the task.
        """
        steps, self._steps = self._steps, []
        if not steps or torch.cat([norms for *_, norms in steps]).isfinite().all():
            return
        task, params, norms = next(step for step in steps if not step[-1].isfinite().all())
        named = unwrapped(runner.model).named_parameters()
        names = {parameter: name for name, parameter in named}
        pairs = zip(params, norms.isfinite().tolist(), strict=True)
        broken = [names.get(parameter, '?') for parameter, finite in pairs if not finite]
        of_task = f' of {task}' if task else ''
        raise NonFiniteGradientError(
            f'non-finite gradient{of_task} in {len(broken)} of {len(params)} parameters, '
            f'{listed(broken)}, while the losses are finite: training is about to diverge; a '
            'lower learning rate, or gradient clipping (optim_wrapper.clip_grad), may help'
        )


@HOOKS.register_module()
class CollapseHook(Hook):
    """Warn, once, of a search whose most probable tree has been a trivial one for long.

    Trivial are the tree in which all tasks share all layers, and the one in which they share none.
    A search may end there for good reasons; more often the resource loss outweighs the tasks, or
    they it. What was seen is kept in checkpoints.

    Args:
        interval: Iterations between two looks at the tree.
        patience: What is long: share of the iterations after warm-up, above 0 to 1.

    Raises:
        ValueError: ``interval`` is below 1 or ``patience`` out of range.

    Example:
        >>> custom_hooks = [dict(type='CollapseHook', interval=50, patience=0.3)]
    """

    def __init__(self, interval: int = 50, patience: float = 0.3) -> None:
        if interval < 1 or not 0 < patience <= 1:
            raise InputError(
                f'interval {interval} and patience {patience} of CollapseHook: expected an '
                'integer of 1 or more and a number above 0 to 1'
            )
        self.interval = interval
        self.patience = patience

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at the tree if the interval has come round."""
        loop = phases_of(runner, self)
        plan, now = loop.plan, runner.iter + 1
        if now <= plan.warmup_iters or not self.every_n_train_iters(runner, self.interval):
            return
        model = loop.model
        kind = _trivial_kind(model.backbone.routing_probs())
        seen = runner.message_hub.runtime_info.get('trivial_tree') or {}
        if seen.get('kind') != kind:
            seen = {'kind': kind, 'since': now, 'warned': seen.get('warned', False)}
        iters = plan.max_iters - plan.warmup_iters
        if kind is not None and not seen['warned'] and now - seen['since'] >= self.patience * iters:
            seen = {**seen, 'warned': True}
            share = (now - seen['since']) / iters
            print_log(
                f'The search has collapsed: in its most probable tree, {kind}. This has been so '
                f'since iteration {seen["since"]}, for {share:.0%} of the search after warm-up. '
                + _advice(kind, model.resource_loss),
                logger='current',
                level=logging.WARNING,
            )
        runner.message_hub.update_info('trivial_tree', seen)


def _trivial_kind(probs: Tensor) -> str | None:
    """Say which trivial tree probabilities ``(L, T, C)`` stand for, None for any other."""
    routing = probs.detach().argmax(dim=-1)
    tasks = routing.shape[1]
    if tasks == 1:
        return None
    if (routing == routing[:, :1]).all():
        return _SHARED
    return _APART if routing[0].unique().numel() == tasks else None


def _advice(kind: str, resource_loss: Any) -> str:
    """Say what the tree tells, and what would change it."""
    shared = kind == _SHARED
    if shared and resource_loss.weight == 0:
        return (
            'There is no resource loss that could cause this: the architecture parameters may '
            'learn too slowly (optim_wrapper.arch_params.optimizer.lr) or too late (warmup_iters).'
        )
    latency = resource_loss.latency is not None
    name = 'target_latency_ms' if latency else 'target_madds'
    target = resource_loss.target_latency_ms if latency else resource_loss.target_madds
    advice = (
        'The resource loss seems to outweigh the tasks: a smaller'
        if shared
        else 'The tasks seem to outweigh the resource loss: a larger'
    ) + f' model.resource_loss.weight (now {resource_loss.weight:g}) would change this'
    if target is None:
        return f'{advice}, or set a budget (model.resource_loss.{name}).'
    return f'{advice}, or a {"larger" if shared else "smaller"} {name} (now {target:g}).'
