"""Checks what a runner loads before work begins, and logs weights that do not fit."""

import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.runner import Runner
from torch import Tensor, nn

from mmbmtas.checkpoints import network_weights, require_finite
from mmbmtas.engine.failures import listed
from mmbmtas.engine.wrapping import unwrapped
from mmbmtas.errors import InputError
from mmbmtas.launch.schedules import ConfiguredSchedules
from mmbmtas.models.backbones import BranchedNetwork

# Entries of a state dict that fit any network, or hold nothing learnt.
_NOT_LEARNT = ('num_batches_tracked', '_extra_state')


def guard_loading(runner: Runner, strict: bool) -> None:
    """Let a runner check what it loads, and resume with the settings of its config.

    With ``strict``, which testing and resuming need, every tensor of a checkpoint must fit the
    model; mmengine alone would warn and continue with random weights. Otherwise some must fit, and
    the log names those that do not. Weights must be finite. A checkpoint to resume from must also
    hold the state of the training; see ``ConfiguredSchedules`` for its settings.
    """
    load, resume = runner.load_checkpoint, runner.resume

    def load_checked(filename: str, *args: Any, **kwargs: Any) -> Any:
        with misfit_named(filename):
            checkpoint = load(filename, *args, **{**kwargs, 'strict': strict})
        model = unwrapped(runner.model)
        if not strict:
            _tell_fit(runner, model, checkpoint, filename)
        require_finite(network_weights(model), filename)
        return checkpoint

    def resume_as_configured(filename: str, *args: Any, **kwargs: Any) -> None:
        configured = ConfiguredSchedules(runner)
        found: dict[str, Any] = {}

        def load_and_keep(*args: Any, **kwargs: Any) -> Any:
            found.update(load_checked(*args, **kwargs))
            _require_state(runner, found, filename)
            with _damage_named(filename):
                configured.check(found, filename)
            return found

        runner.load_checkpoint = load_and_keep
        seed = runner._randomness_cfg.get('seed')
        try:
            resume(filename, *args, **kwargs)
        finally:
            runner.load_checkpoint = load_checked
        with _damage_named(filename):
            told = configured.apply(found)
        if seed is not None and seed != runner.seed:
            told.append(
                f"the seed stays the checkpoint's, {runner.seed}, not randomness.seed={seed}"
            )
        told += _tell_end(runner)
        for sentence in told:
            runner.logger.warning(f'Resumed from {filename}: {sentence}.')

    runner.load_checkpoint = load_checked
    runner.resume = resume_as_configured


@contextmanager
def misfit_named(checkpoint: str | Path) -> Iterator[None]:
    """Name the checkpoint in the error if it does not fit the model that loads it.

    Raises:
        InputError: It does not fit; with the beginning of each of torch's complaints.
    """
    try:
        yield
    except InputError as error:
        if str(checkpoint) in str(error):
            raise
        raise InputError(f'{checkpoint}: {error}') from error
    except RuntimeError as error:
        raise _misfit(checkpoint, error) from error


@contextmanager
def _damage_named(checkpoint: str) -> Iterator[None]:
    """Name the checkpoint whose optimisers or schedules are not what a training writes.

    Raises:
        InputError: They are not.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f'{checkpoint} cannot be resumed from: its optimiser or schedules are damaged '
            f'({type(error).__name__}: {error})'
        ) from error


def _misfit(checkpoint: str | Path, error: RuntimeError) -> InputError:
    lines = [textwrap.shorten(line, 250, placeholder=' ...') for line in str(error).splitlines()]
    return InputError(f'{checkpoint} does not fit the model: ' + '\n'.join(lines[:6]))


def _require_state(runner: Runner, checkpoint: Mapping[str, Any], filename: str) -> None:
    """Refuse to resume from weights alone, without the state of optimisers and schedules."""
    parts = ['meta', 'message_hub', 'optimizer']
    parts += ['param_schedulers'] * (runner.param_schedulers is not None)
    missing = [part for part in parts if part not in checkpoint]
    if missing:
        raise InputError(
            f'{filename} has no {", ".join(missing)}: best and published checkpoints hold weights '
            'only, so a training cannot be resumed from it. load_from=FILE without --resume starts '
            'a new training from its weights'
        )


def _tell_fit(
    runner: Runner, model: nn.Module, checkpoint: Mapping[str, Any], filename: str
) -> None:
    """Refuse a checkpoint of which nothing fits; otherwise log what does not fit.

    Raises:
        InputError: No tensor fits the model.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    given = {re.sub(r'^module\.', '', key): value for key, value in weights.items()}
    for name, module in model.named_modules():
        if isinstance(module, BranchedNetwork):
            given = module.own_weights(given, f'{name}.' if name else '')
    given, own = _shapes(given), _shapes(model.state_dict())
    taken = {key for key, shape in own.items() if given.get(key) == shape}
    if not taken:
        raise InputError(
            f'load_from = {filename}: none of its {len(given)} tensors ({listed([*given])}) fits '
            f'the model, which has {listed([*own])}. The file is of another network'
        )
    rest = {
        'keep their random or pretrained values': [key for key in own if key not in taken],
        'of the file have no place': [key for key in given if key not in taken],
    }
    for what, keys in rest.items():
        if keys:
            runner.logger.warning(
                f'load_from = {filename}: {len(taken)} of the {len(own)} tensors of the model are '
                f'loaded; {len(keys)} {what}: {listed(keys)}.'
            )


def _shapes(weights: Mapping[str, Any]) -> dict[str, Any]:
    """List the shapes of learnt tensors by name."""
    return {
        key: value.shape
        for key, value in weights.items()
        if isinstance(value, Tensor) and not key.endswith(_NOT_LEARNT)
    }


def _tell_end(runner: Runner) -> list[str]:
    """Say that a resumed training has nothing left to do, or would learn nothing."""
    left = runner.max_iters - runner.iter
    if left <= 0:
        return [f'it is at iteration {runner.iter} of {runner.max_iters}, nothing is left to train']
    rates = runner.optim_wrapper.get_lr()
    still = [name for name, values in rates.items() if not any(values)]
    return [
        f'{name} is 0, and {left} iterations are left: does a schedule end before max_iters?'
        for name in still
    ]
