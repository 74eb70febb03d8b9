"""Checks before a training that the metrics which it watches will exist."""

from collections.abc import Iterator

from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.optim.scheduler.param_scheduler import ReduceOnPlateauParamScheduler
from mmengine.runner import Runner

from .best_metrics import check_names, metric_names, validates


class MonitorHook(Hook):
    """Refuse a ``monitor`` that no validation will report, rather than at the first validation."""

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Look at what stops a training early or lowers its rate.

        Raises:
            InputError: A ``monitor`` is no metric of the evaluator, or the training cannot come to
                a validation.
        """
        for where, monitor in _monitors(runner):
            if not validates(runner, f'{where} watches a metric of validations'):
                continue
            names = metric_names(runner.val_loop.evaluator)
            if names is not None:
                check_names(where, [monitor], names, exact=True)


def _monitors(runner: Runner) -> Iterator[tuple[str, str]]:
    """Yield the name of each ``monitor`` and the metric that it watches."""
    for hook in runner.hooks:
        if isinstance(hook, EarlyStoppingHook):
            yield f'{type(hook).__name__}.monitor', hook.monitor
    schedulers = runner.param_schedulers or []
    lists = schedulers.values() if isinstance(schedulers, dict) else [schedulers]
    for scheduler in (one for listed in lists for one in listed):
        if isinstance(scheduler, ReduceOnPlateauParamScheduler):
            yield f'{type(scheduler).__name__}.monitor', scheduler.monitor
