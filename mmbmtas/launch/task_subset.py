"""Restricts a config to some of its tasks, so that it also describes smaller networks."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from mmbmtas.errors import InputError
from mmbmtas.evaluation.metrics import TaskMetric
from mmbmtas.paths.domains import as_domains
from mmbmtas.registry import METRICS, MODELS, find_type, takes
from mmbmtas.structures import PathArchitecture, as_architecture


def narrow_to_architecture(cfg: Config) -> None:
    """Keep of a config what the tasks of its architecture need, where it has more tasks.

    Decoders, ``tasks`` of the data sets (those inside wrappers too) and the metrics of the other
    tasks go, which are logged; a concatenated data set that is left without a task goes as well.
    Metrics of no single task stay. Of paths, data sets of other domains go. Nothing changes where
    the architecture has all tasks of ``model.decode_heads``, or one more: that is an error of the
    model's, which names them.

    Args:
        cfg: A config whose ``model.backbone.architecture`` is the path of a file, or its content.

    Raises:
        InputError: The file is not an architecture, or a data set has none of its tasks.
    """
    heads = cfg.model.get('decode_heads')
    stated = (cfg.model.get('backbone') or {}).get('architecture')
    if not isinstance(heads, Mapping) or stated is None:
        return
    architecture = as_architecture(stated)
    tasks: Sequence[str] = architecture.tasks
    domains = None
    if isinstance(architecture, PathArchitecture):
        domains = _narrow_domains(cfg.model.backbone, architecture.domains)
        tasks = [task for own in domains.values() for task in own]
    if set(tasks) < set(heads):
        _narrow(cfg, tasks, stated if isinstance(stated, str) else 'the architecture', domains)
        if cfg.get('tasks') is not None:
            cfg.tasks = [task for task in cfg.tasks if task in tasks]


def _narrow_domains(backbone: Any, kept: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Keep of a backbone's ``domains`` those that have a path; return the tasks of each."""
    stated = backbone.get('domains')
    if stated is None:
        return as_domains(kept)
    found = {domain: own for domain, own in as_domains(stated).items() if domain in kept}
    if found and len(found) < len(stated):
        backbone.domains = {domain: [*own] for domain, own in found.items()}
    return found


def narrow_to_tasks(cfg: Config, tasks: Sequence[str]) -> None:
    """Keep of a config what some of its tasks need, as if their architecture had been given.

    Raises:
        InputError: The config has no such tasks, or a data set has none of them.
    """
    heads = cfg.model.decode_heads
    if not tasks or not set(tasks) <= set(heads) or len(set(tasks)) != len(tasks):
        raise InputError(f'tasks={[*tasks]}: expected different ones out of {[*heads]}')
    if 'tasks' in cfg.model.backbone:
        cfg.model.backbone.tasks = [*tasks]
    if cfg.model.backbone.get('domains'):
        cfg.model.backbone.domains = _with_tasks(cfg.model.backbone.domains, tasks)
    elif takes(MODELS, cfg.model.backbone, 'domains', cfg.get('default_scope')):
        cfg.model.backbone.domains = [*tasks]  # of one task each, the paths of others stay unused
    _narrow(cfg, tasks, f'tasks={[*tasks]}')


def check_metrics(cfg: Config) -> None:
    """Refuse metrics of tasks that the network does not have, whose scores would be no numbers.

    Raises:
        InputError: There is one.
    """
    heads = cfg.model.get('decode_heads')
    if not isinstance(heads, Mapping):
        return
    for name in ('val_evaluator', 'test_evaluator'):
        for metric in _metrics_of(cfg.get(name)):
            task = _task_of_metric(metric)
            if task is not None and task not in heads:
                raise InputError(
                    f'{name} has {metric["type"]} of the task {task!r}, which has no decoder in '
                    f'model.decode_heads: expected one of {[*heads]}'
                )


def _with_tasks(domains: Any, tasks: Collection[str]) -> Any:
    """Leave out domains without a task left, and the other tasks of those that have one."""
    if not isinstance(domains, Mapping):
        return [domain for domain in domains if domain in tasks]
    kept = {domain: [task for task in own if task in tasks] for domain, own in domains.items()}
    return {domain: own for domain, own in kept.items() if own}


def _narrow(
    cfg: Config, tasks: Collection[str], what: str, domains: Collection[str] | None = None
) -> None:
    order = [task for task in cfg.model.decode_heads if task in tasks]
    dropped = [task for task in cfg.model.decode_heads if task not in tasks]
    print_log(f'{what} leaves out the tasks {dropped} of the config.', logger='current')
    for heads in (cfg.model.decode_heads, cfg.model.get('auxiliary_heads') or {}):
        for task in dropped:
            heads.pop(task, None)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader is not None and not _narrow_dataset(loader.dataset, order, domains):
            raise InputError(f'{name} has no labels of any of the tasks {order} of {what}')
    for name in ('val_evaluator', 'test_evaluator'):
        if cfg.get(name) is not None:
            cfg[name] = _narrow_evaluator(cfg[name], tasks)


def _narrow_dataset(
    dataset: Any, tasks: Sequence[str], domains: Collection[str] | None = None
) -> bool:
    """Narrow a data set and those that it wraps; tell whether it has a task left.

    Args:
        dataset: Its config.
        tasks: Tasks to keep.
        domains: Domains to keep, of data sets that say of which they are.
    """
    if inner := dataset.get('datasets'):
        names = dataset.get('domains') or [None] * len(inner)
        kept = [
            (name, found)
            for name, found in zip(names, inner, strict=True)
            if (name is None or domains is None or name in domains)
            and _narrow_dataset(found, tasks, domains)
        ]
        dataset.datasets = [found for _, found in kept]
        if dataset.get('domains'):
            dataset.domains = [name for name, _ in kept]
        return bool(kept)
    if 'dataset' in dataset:
        return _narrow_dataset(dataset.dataset, tasks, domains)
    domain = dataset.get('name') or dataset.get('domain')
    domain = domain and domain.replace('-', '_')  # as the data set itself does
    if domains is not None and domain not in (None, *domains):
        return False
    if dataset.get('tasks') is None:  # it has labels of its domain, or of whatever it can read
        return domain is None or domains is not None or domain in tasks
    dataset.tasks = [task for task in tasks if task in dataset.tasks]
    return bool(dataset.tasks)


def _narrow_evaluator(evaluator: Any, tasks: Collection[str]) -> Any:
    """Leave out the metrics of other tasks, of an evaluator's config or a list of metrics."""
    if isinstance(evaluator, Mapping) and 'metrics' in evaluator:
        return {**evaluator, 'metrics': _narrow_evaluator(evaluator['metrics'], tasks)}
    metrics = _metrics_of(evaluator)
    return [metric for metric in metrics if _task_of_metric(metric) in (None, *tasks)]


def _metrics_of(evaluator: Any) -> Sequence[Any]:
    """List the metrics of an evaluator's config, of a list of metrics, of one, or of none."""
    if isinstance(evaluator, Mapping) and 'metrics' in evaluator:
        return _metrics_of(evaluator['metrics'])
    if evaluator is None:
        return []
    return evaluator if isinstance(evaluator, Sequence) else [evaluator]


def _task_of_metric(metric: Any) -> str | None:
    """Return the task that a metric's config is for, None if it is for no single one."""
    if not isinstance(metric, Mapping) or 'type' not in metric:
        return None
    kind = find_type(METRICS, metric['type'])
    if not (isinstance(kind, type) and issubclass(kind, TaskMetric)):
        return None
    return metric.get('task') or getattr(kind, 'default_task', None)
