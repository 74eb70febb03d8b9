"""Checks of a comparison against its configs, before anything is trained."""

from collections.abc import Mapping, Sequence

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmbmtas.comparison.configs import ComparedConfigs
from mmbmtas.comparison.kinds import KINDS
from mmbmtas.comparison.models import Comparison
from mmbmtas.errors import InputError
from mmbmtas.evaluation import HeadlineMetric, MultiTaskEvaluator, TaskMetric
from mmbmtas.launch.path_config import PathConfig
from mmbmtas.launch.tree_config import TreeConfig


def check_configs(comparison: Comparison) -> TreeConfig | PathConfig:
    """Check that the configs have the same tasks and encoder, and that budgets are within reach.

    Returns:
        The config of the networks.

    Raises:
        ValueError: They are not.
    """
    configs = ComparedConfigs(comparison)
    of_paths = isinstance(configs.trained, PathConfig)
    for model in comparison.models:
        if KINDS[model.kind].of_paths != of_paths:
            raise InputError(
                f'{comparison.path}: {model.name}: kind {model.kind!r}, but {comparison.branched} '
                f'trains {"paths" if of_paths else "trees"}: expected one of '
                f'{[name for name, kind in KINDS.items() if kind.of_paths == of_paths]}'
            )
        KINDS[model.kind].check(model, configs, f'{comparison.path}: {model.name}')
    return configs.trained


def list_headlines(cfg: Config, chosen: Sequence[str]) -> list[HeadlineMetric]:
    """List the number that represents each task: the config's first metric, or the chosen one.

    Raises:
        ValueError: The config's test does not compute a chosen one.
    """
    init_default_scope(cfg.get('default_scope', 'mmbmtas'))
    evaluator = cfg.test_evaluator
    metrics = evaluator['metrics'] if isinstance(evaluator, Mapping) else evaluator
    built = MultiTaskEvaluator(metrics)
    computed = {m.headline.key: m.headline for m in built.metrics if isinstance(m, TaskMetric)}
    headlines = {headline.key.split('/')[0]: headline for headline in built.headlines}
    for key in chosen:
        if key not in computed:
            raise InputError(
                f'headlines: {key!r} is not among {sorted(computed)}, which the test computes; a '
                'metric of your own declares its number as a TaskMetric does (headline_name)'
            )
        headlines[key.split('/')[0]] = computed[key]
    return [*headlines.values()]
