"""Gives a resumed training the state of its checkpoint and the settings of its config.

The state of optimisers and the place in their schedules come from the checkpoint. Settings (rates,
ends and lengths of schedules, momentum, weight decay) come from the config: if they differ from
those of the checkpoint, the training continues as if it had had them from the start.
"""

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.optim.scheduler.param_scheduler import ReduceOnPlateauParamScheduler
from mmengine.runner import Runner

from mmbmtas.engine.hooks.checkpoint_hook import OPTIMIZERS
from mmbmtas.errors import InputError

# Entries of a schedule that change while it runs; all others are settings.
_PROGRESS = {'last_step', '_global_step', '_last_value', 'base_values', 'optimizer'}
_PROGRESS |= {'best', 'num_bad_epochs', 'cooldown_counter'}
# Options of how torch computes a step; they differ between releases.
_DECOUPLED = 'decoupled_weight_decay'
_FLAGS = {'foreach', 'fused', 'capturable', 'differentiable', 'maximize', _DECOUPLED}


@dataclass
class _Optimiser:
    """An optimiser of a runner, its schedules, and the settings of both in the config."""

    name: str
    wrapper: OptimWrapper
    schedules: list[Any]
    groups: list[dict[str, Any]]
    states: list[dict[str, Any]]

    @property
    def now(self) -> list[dict[str, Any]]:
        """The current settings of its parameter groups, which can be changed."""
        return self.wrapper.param_groups


class ConfiguredSchedules:
    """The optimisers and schedules of a runner as in its config, before it resumes.

    Args:
        runner: The runner, in ``train``.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        wrapper, schedules = runner.optim_wrapper, runner.param_schedulers or []
        wrappers = wrapper.items() if isinstance(wrapper, OptimWrapperDict) else [('', wrapper)]
        self.optimisers = []
        for name, one in wrappers:
            listed = [*(schedules.get(name, []) if isinstance(schedules, dict) else schedules)]
            groups = [_without(group, {'params'}) for group in one.param_groups]
            states = [_without(schedule.state_dict(), set()) for schedule in listed]
            self.optimisers.append(_Optimiser(name, one, listed, groups, states))

    def check(self, checkpoint: Mapping[str, Any], filename: str) -> None:
        """Refuse a checkpoint of other optimisers.

        Raises:
            InputError: Their names, kinds or groups of parameters differ.
        """
        saved = checkpoint['optimizer']
        names = [one.name for one in self.optimisers]
        found = sorted(saved) if names != [''] else ['']
        if found != sorted(names):
            raise InputError(
                f'{filename} has optimisers {found}, the config {names}: a training must resume '
                'with the optimisers that it began with'
            )
        kinds = (checkpoint.get('meta') or {}).get(OPTIMIZERS) or {}
        for one in self.optimisers:
            groups = (saved[one.name] if one.name else saved).get('param_groups', [])
            sizes = [len(group['params']) for group in groups]
            if sizes != [len(group['params']) for group in one.wrapper.optimizer.param_groups]:
                raise InputError(
                    f'{filename} has {len(sizes)} groups of parameters in its optimiser, which '
                    "differ from the config's: set optim_wrapper as it was when the training began"
                )
            if what := _other_kind(one.wrapper.optimizer, kinds.get(one.name), groups[0]):
                raise InputError(
                    f'{filename} was trained with another optimiser than '
                    f'{type(one.wrapper.optimizer).__name__}{_of(one)}: {what}. Set optim_wrapper '
                    'as it was, or start a new training from its weights with load_from'
                )

    def apply(self, checkpoint: Mapping[str, Any]) -> list[str]:
        """Give a resumed runner the settings of its config.

        Args:
            checkpoint: The checkpoint that it has resumed from.

        Returns:
            A sentence for each difference.
        """
        told: list[str] = []
        for one in self.optimisers:
            saved = checkpoint.get('param_schedulers') or []
            states = saved.get(one.name, []) if isinstance(saved, Mapping) else saved
            self._apply_groups(one, told)  # first, since schedules work on them
            self._apply_schedules(one, states, told)
        return told

    def _apply_schedules(
        self, one: _Optimiser, saved: Sequence[Mapping[str, Any]], told: list[str]
    ) -> None:
        """Bring schedules to where they would be under the config from the start."""
        changes = _changes(one, saved)
        for schedule, state in zip(one.schedules, one.states, strict=True):
            schedule.__dict__.update(_without(state, _PROGRESS))
        if not changes:
            return
        iterations, epochs = (
            max((s['_global_step'] for s in saved if s['by_epoch'] == by_epoch), default=default)
            for by_epoch, default in ((False, self.runner.iter), (True, self.runner.epoch))
        )
        names = {schedule.param_name for schedule in one.schedules}
        for group, configured in zip(one.now, one.groups, strict=True):
            keys = {key for name in names for key in (name, f'initial_{name}')}
            group.update({key: configured[key] for key in keys & {*configured}})
        kept = [s for s in one.schedules if isinstance(s, ReduceOnPlateauParamScheduler)]
        replayed = [s for s in one.schedules if s not in kept]
        for schedule, state in zip(one.schedules, one.states, strict=True):
            if schedule in replayed:
                schedule.__dict__.update(_without(state, {'optimizer'}))
        _replay(replayed, iterations, epochs, len(self.runner.train_dataloader))
        values = {name: one.now[0][name] for name in sorted(names)}
        now = ', '.join(f'{name} = {value:.4g}' for name, value in values.items())
        told.append(
            f'the schedule{_of(one)} now follows the config ({"; ".join(changes)}) and continues '
            f'with {now}'
        )

    def _apply_groups(self, one: _Optimiser, told: list[str]) -> None:
        """Set the settings that no schedule changes."""
        scheduled = {schedule.param_name for schedule in one.schedules}
        changes: dict[str, str] = {}
        for group, configured in zip(one.now, one.groups, strict=True):
            for key, value in configured.items():
                if key in scheduled or key.removeprefix('initial_') in scheduled:
                    continue
                if key in group and not _same(group[key], value) and key not in _FLAGS:
                    changes.setdefault(key, f'{key} {group[key]} -> {value}')
                group[key] = value
        if changes:
            told.append(
                f'the optimiser{_of(one)} now follows the config: ' + '; '.join(changes.values())
            )


def _changes(one: _Optimiser, saved: Sequence[Mapping[str, Any]]) -> list[str]:
    """List how the schedules of the config differ from those of a checkpoint."""
    if len(saved) != len(one.states):
        return [f'{len(saved)} schedules -> {len(one.states)}']
    changes: dict[str, None] = {}
    for schedule, configured, state in zip(one.schedules, one.states, saved, strict=True):
        kind = type(schedule).__name__
        for key, value in _without(configured, _PROGRESS - {'base_values'}).items():
            before = state.get(key)
            if callable(value) or _same(before, value):
                continue
            if key == 'base_values':  # one for each group of parameters
                pairs = [*zip(before or [], value, strict=False)]
                before, value = next((p for p in pairs if p[0] != p[1]), (before, value))
            changes[f'{kind}: {key.strip("_")} {before} -> {value}'] = None
    return [*changes]


def _replay(schedules: Sequence[Any], iterations: int, epochs: int, epoch_length: int) -> None:
    """Step schedules as a training of so many iterations and epochs would have."""
    by_iteration = [schedule for schedule in schedules if not schedule.by_epoch]
    by_epoch = [schedule for schedule in schedules if schedule.by_epoch]
    passed = 0
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that the optimiser has not stepped
        for iteration in range(1, iterations + 1):
            for schedule in by_iteration:
                schedule.step()
            if passed < epochs and iteration % epoch_length == 0:
                passed += 1
                for schedule in by_epoch:
                    schedule.step()
        for schedule in by_epoch * (epochs - passed):
            schedule.step()


def _other_kind(optimizer: Any, kind: str | None, saved: Mapping[str, Any]) -> str | None:
    """Say how a checkpoint shows that another optimiser wrote it, None if it does not.

    Args:
        optimizer: The config's.
        kind: The name that the checkpoint states; older ones state none.
        saved: The checkpoint's first group of parameters.
    """
    if kind is not None and kind != type(optimizer).__name__:
        return f'with {kind}'
    if missing := {*optimizer.defaults} - {*saved} - _FLAGS:
        return f'it has no {", ".join(sorted(missing))}'
    own = optimizer.defaults.get(_DECOUPLED)
    if own is not None and saved.get(_DECOUPLED, own) != own:
        return f'its {_DECOUPLED} is {saved[_DECOUPLED]}'  # Adam and AdamW differ in nothing else
    return None


def _of(one: _Optimiser) -> str:
    return f' of {one.name}' if one.name else ''


def _without(state: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: copy.deepcopy(value) for key, value in state.items() if key not in keys}


def _same(one: Any, other: Any) -> bool:
    """Compare settings; a list equals a tuple."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return [*one] == [*other]
    return bool(one == other)
