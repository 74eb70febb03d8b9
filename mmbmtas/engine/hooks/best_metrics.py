"""The metrics by which a training keeps its best checkpoint, and their directions."""

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import Runner

from mmbmtas.errors import InputError
from mmbmtas.evaluation.metrics import TaskMetric

_SAVE_BEST = 'save_best keeps the best checkpoint of validations'


def validates(runner: Runner, purpose: str = _SAVE_BEST) -> bool:
    """Tell whether a training validates; without data for it, a hook of the user's may.

    Args:
        runner: The runner of the training.
        purpose: What needs validations, for messages.

    Raises:
        ValueError: The training cannot come to a validation.
    """
    loop: Any = runner.train_loop
    begin = getattr(loop, 'val_begin', None)
    if begin is None or begin > loop.max_iters:
        reason = f'a {type(loop).__name__} has none'
        if begin is not None:
            reason = f'train_cfg.val_begin = {begin} is after the end, {loop.max_iters}'
        raise InputError(f'{purpose}: {reason}')
    if runner.val_loop is None:
        print_log(
            f'{purpose}, and there is no val_dataloader.',
            logger='current',
            level=logging.WARNING,
        )
        return False
    return True


def metric_names(evaluator: Any) -> list[str] | None:
    """List what an evaluator will report; None where a metric does not say.

    Ours say by what they make of no images.
    """
    names: list[str] = []
    for metric in evaluator.metrics:
        if not isinstance(metric, TaskMetric):
            return None
        try:
            names += metric.names
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return None  # a user's, which makes nothing of no images
    return names + ['delta_m'] * (getattr(evaluator, 'baseline', None) is not None)


def check_names(what: str, keys: Sequence[str], names: Sequence[str], exact: bool) -> None:
    """Refuse keys that are no metric's name, or, unless ``exact``, not even a part of one.

    Raises:
        ValueError: A key is none.
    """
    for key in keys:
        if key not in names if exact else not any(is_named([key], name) for name in names):
            raise InputError(f'{what} = {key!r}: the metrics of val_evaluator are {[*names]}')


def is_named(keys: Sequence[str], name: str) -> bool:
    """Tell whether one of some keys is part of a metric's name, as mmengine looks for them."""
    return any(key.lower() in name.lower() for key in keys)


def directions(evaluator: Any) -> dict[str, str]:
    """Return the rules of the metrics that say which direction is better."""
    headlines = [m.headline for m in evaluator.metrics if isinstance(m, TaskMetric)]
    rules = {h.key: 'less' if h.lower_is_better else 'greater' for h in headlines}
    return {**rules, 'delta_m': 'greater'}
