"""A branched network's results beside what they must beat, and its cost beside other networks'."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmbmtas.evaluation.constant import score_constant
from mmbmtas.evaluation.evaluator import MultiTaskEvaluator
from mmbmtas.evaluation.metrics import HeadlineMetric
from mmbmtas.registry import DATASETS
from mmbmtas.structures.data_sample import MultiTaskDataSample

NETWORKS = {'searched': 'network', 'shared': 'shared', 'all_apart': 'all_apart', 'single': 'single'}
"""Networks of a summary, and their names in what ``get_madds.py --json`` prints."""


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
    constants: Mapping[str, float],
    costs: Mapping[str, Any],
) -> dict[str, Any]:
    """Collect results and costs in one object that JSON can hold.

    Args:
        headlines: The number that stands for each task.
        results: Results of the network, as ``tools/test.py --out`` writes them.
        constants: Results of the constant prediction on the same images.
        costs: What ``get_madds.py --json`` prints for the network's config.

    Returns:
        ``tasks``: for each its ``metric``, ``value``, ``constant`` and ``lower_is_better``;
        ``madds`` and ``params`` of the networks ``searched``, ``shared``, ``all_apart`` and
        ``single``.
    """
    tasks = {
        headline.key.split('/')[0]: {
            'metric': headline.key,
            'value': results[headline.key],
            'constant': constants[headline.key],
            'lower_is_better': headline.lower_is_better,
        }
        for headline in headlines
    }
    figures = {
        figure: {name: costs[key][figure] for name, key in NETWORKS.items()}
        for figure in ('madds', 'params')
    }
    return {'tasks': tasks, **figures}


def beats_constant(task: Mapping[str, Any]) -> bool:
    """Tell whether the network is better than the constant in an entry of ``tasks``."""
    gain = task['value'] - task['constant']
    return gain < 0 if task['lower_is_better'] else gain > 0


def format_summary(summary: Mapping[str, Any], headlines: Sequence[HeadlineMetric]) -> str:
    """Lay a summary out as two tables in Markdown."""
    write = {headline.key: headline.format for headline in headlines}
    lines = ['| task | metric | network | constant | |', '|---|---|---:|---:|---|']
    for name, task in summary['tasks'].items():
        value, constant = (write[task['metric']](task[key]) for key in ('value', 'constant'))
        better = 'lower' if task['lower_is_better'] else 'higher'
        verdict = 'beats the constant' if beats_constant(task) else '**not better**'
        lines.append(
            f'| {name} | {task["metric"].split("/", 1)[1]} ({better} is better) '
            f'| {value} | {constant} | {verdict} |'
        )
    lines += ['', '| network | multiply-adds | parameters |', '|---|---:|---:|']
    for name in NETWORKS:
        madds, params = summary['madds'][name] / 1e6, summary['params'][name] / 1e3
        lines.append(f'| {name.replace("_", " ")} | {madds:.1f} M | {params:.0f} k |')
    return '\n'.join(lines) + '\n'
