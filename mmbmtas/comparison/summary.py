"""A branched network's results and cost, compared with a baseline and with other networks."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmbmtas.evaluation import delta_m
from mmbmtas.evaluation.constant import score_constant
from mmbmtas.evaluation.evaluator import MultiTaskEvaluator
from mmbmtas.evaluation.metrics import HeadlineMetric
from mmbmtas.registry import DATASETS
from mmbmtas.structures.data_sample import MultiTaskDataSample

REFERENCES = ('shared', 'all_apart', 'single')
"""Networks whose costs a summary has beside those of its two trees, by their names in what
``get_madds.py --json`` prints."""


def score_constants(cfg: Config) -> tuple[list[HeadlineMetric], dict[str, float]]:
    """Score the constant prediction of a config's training labels on its test set.

    Args:
        cfg: A config whose ``test_evaluator`` is a list of task metrics.

    Returns:
        The number that stands for each task, and all results of the constant prediction.
    """
    init_default_scope(cfg.get('default_scope', 'mmbmtas'))
    held_out = copy.deepcopy(cfg.test_dataloader.dataset)
    training = {**held_out, 'split': cfg.train_dataloader.dataset.split}
    dataset = DATASETS.build(held_out)
    evaluator = MultiTaskEvaluator(cfg.test_evaluator)
    evaluator.dataset_meta = dataset.metainfo
    constants = score_constant(_samples(DATASETS.build(training)), _samples(dataset), evaluator)
    return evaluator.headlines, constants


def _samples(dataset: Any) -> Iterator[MultiTaskDataSample]:
    for index in range(len(dataset)):
        yield dataset[index]['data_samples']


def summarise(
    headlines: Sequence[HeadlineMetric],
    results: Mapping[str, float],
    random_results: Mapping[str, float],
    constants: Mapping[str, float],
    costs: Mapping[str, Any],
    random_costs: Mapping[str, Any],
) -> dict[str, Any]:
    """Collect results and costs in one object that JSON can hold.

    Args:
        headlines: The number that stands for each task.
        results: Results of the searched tree, as ``tools/test.py --out`` writes them.
        random_results: Results of a random tree.
        constants: Results of the constant prediction on the same images.
        costs: What ``get_madds.py --json`` prints for the searched tree.
        random_costs: The same for the random tree.

    Returns:
        ``tasks``: for each its ``metric``, ``value``, ``random``, ``constant`` and
        ``lower_is_better``; ``delta_m``: the mean relative gain of the searched tree over the
        random one in percent, None where a number of the random tree is 0; ``madds`` and ``params``
        of the networks ``searched``, ``random``, ``shared``, ``all_apart`` and ``single``.
    """
    tasks = {
        headline.key.split('/')[0]: {
            'metric': headline.key,
            'value': results[headline.key],
            'random': random_results[headline.key],
            'constant': constants[headline.key],
            'lower_is_better': headline.lower_is_better,
        }
        for headline in headlines
    }
    keys = [headline.key for headline in headlines]
    comparable = all(random_results[key] for key in keys)
    gain = delta_m(results, random_results, headlines) if comparable else None
    figures = {
        figure: {
            'searched': costs['network'][figure],
            'random': random_costs['network'][figure],
            **{name: costs[name][figure] for name in REFERENCES},
        }
        for figure in ('madds', 'params')
    }
    return {'tasks': tasks, 'delta_m': gain, **figures}


def beats_constant(task: Mapping[str, Any]) -> bool:
    """Tell whether the network is better than the constant in an entry of ``tasks``."""
    gain = task['value'] - task['constant']
    return gain < 0 if task['lower_is_better'] else gain > 0


def format_summary(summary: Mapping[str, Any], headlines: Sequence[HeadlineMetric]) -> str:
    """Lay a summary out as two tables in Markdown."""
    write = {headline.key: headline.format for headline in headlines}
    lines = ['| task | metric | searched tree | random tree | constant | |']
    lines += ['|---|---|---:|---:|---:|---|']
    for name, task in summary['tasks'].items():
        values = (write[task['metric']](task[key]) for key in ('value', 'random', 'constant'))
        better = 'lower' if task['lower_is_better'] else 'higher'
        verdict = 'beats the constant' if beats_constant(task) else '**not better**'
        metric = f'{task["metric"].split("/", 1)[1]} ({better} is better)'
        lines.append(f'| {name} | {metric} | {" | ".join(values)} | {verdict} |')
    if summary['delta_m'] is not None:
        lines += [
            '',
            'Mean relative gain of the searched tree over the random one: '
            f'{summary["delta_m"]:+.1f} %. Each was trained once, so some percent may be chance.',
        ]
    lines += ['', '| network | multiply-adds | parameters |', '|---|---:|---:|']
    for name, madds in summary['madds'].items():
        params = summary['params'][name] / 1e3
        lines.append(f'| {name.replace("_", " ")} | {madds / 1e6:.1f} M | {params:.0f} k |')
    return '\n'.join(lines) + '\n'
