"""Searches and trainings on planted problems, each in this process."""

import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor

from mmbmtas import launch
from mmbmtas.grouping import (
    Tree,
    difficulty_affinity,
    dissimilarity,
    fafs_tree,
    grouping_costs,
    least_cost_tree,
    random_trees,
    rsa_affinity,
    vanilla_tree,
)
from mmbmtas.structures import TaskGrouping

from .problems import Problem, plant

CONFIGS = Path(__file__).parents[3] / 'configs' / 'planted'
_QUIET = {
    'log_level': 'ERROR',
    'default_hooks.logger': None,
    'default_hooks.checkpoint': None,
}
_number = itertools.count()


@dataclass(frozen=True)
class Method:
    """A way to choose a tree.

    Attributes:
        name: Its name in tables.
        config: A config of a search below ``configs/planted``, None for a method without a search.
        options: Overrides of the config.
        choose: Chooses the tree where there is no search.
    """

    name: str
    config: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    choose: Callable[[Problem, int], Tree] | None = None

    def run(self, problem: Problem, seed: int) -> tuple[Tree, float]:
        """Return the tree for a problem and a seed, and the seconds that it took."""
        start = time.perf_counter()
        if self.choose is not None:
            tree = self.choose(problem, seed)
        else:
            assert self.config is not None
            runner = _run(self.config, problem, seed, self.options)
            tree = runner.train_loop.model.export_architecture().groupings
        return tree, time.perf_counter() - start


def train(problem: Problem, seed: int, tree: Tree) -> float:
    """Train a tree and return its held-out error: the mean absolute error, averaged over tasks."""
    runner = _run('branched.py', problem, seed, {}, tree)
    scores = runner.val_loop.run()
    return float(np.mean([scores[f'{task}/mae'] for task in problem.tasks]))


def _run(
    config: str,
    problem: Problem,
    seed: int,
    options: Mapping[str, Any],
    tree: Tree | None = None,
) -> Runner:
    """Run a config of ``configs/planted`` on a problem and return the runner."""
    torch.set_num_threads(1)
    cfg: Config = launch.read_config(str(CONFIGS / config), {**_QUIET, **options})
    plant(cfg, problem, seed)
    cfg.default_hooks.pop('visualization')
    cfg.experiment_name = f'planted_{next(_number)}'
    if tree is not None:
        cfg.architecture = problem.architecture(tree).to_dict()
        cfg.train_cfg.val_interval = 10**9  # scored once, after the training
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        runner = launch.build_runner(cfg)
        runner.train()
    return runner


def _random(problem: Problem, seed: int) -> Tree:
    """Draw a tree of the budget, within 5 %."""
    return random_trees(
        len(problem.tasks),
        problem.layer_madds,
        problem.madds(problem.tree),
        tolerance=0.05,
        seed=seed,
        fixed_madds=problem.fixed_madds,
    )[0]


def _vanilla(problem: Problem, seed: int) -> Tree:
    """Share all layers up to one, as close to the budget as possible."""
    budget = problem.madds(problem.tree)
    return vanilla_tree(len(problem.tasks), problem.layer_madds, budget, problem.fixed_madds)


def _bmn(problem: Problem, seed: int) -> Tree:
    """Compare the features of single-task networks (all apart: the stem is nothing)."""
    count = len(problem.tasks)
    apart = (TaskGrouping.all_apart(count),) * len(problem.layers)
    runner = _run('branched.py', problem, seed, {}, apart)
    model: Any = runner.model.eval()
    kept: dict[tuple[int, int], list[Tensor]] = defaultdict(list)

    def keep(place: tuple[int, int]) -> Any:
        return lambda module, args, output: kept[place].append(output.flatten(1))

    for layer, branches in enumerate(model.backbone.layers):
        for task, branch in enumerate(branches):  # all apart: a branch for each task, in order
            branch.register_forward_hook(keep((layer, task)))
    with torch.no_grad():
        for data_batch in runner.val_dataloader:
            model.backbone(model.data_preprocessor(data_batch, False)['inputs'])
    affinities = [
        rsa_affinity([dissimilarity(torch.cat(kept[layer, task]).numpy()) for task in range(count)])
        for layer in range(len(problem.layers))
    ]
    return least_cost_tree(
        grouping_costs(np.stack(affinities)),
        problem.layer_madds,
        problem.madds(problem.tree),
        problem.fixed_madds,
    )


def _fafs(problem: Problem, seed: int) -> Tree:
    """Group tasks that find the same images hard, at the alpha that comes closest to the budget."""
    count = len(problem.tasks)
    shared = (TaskGrouping.shared(count),) * len(problem.layers)
    runner = _run('branched.py', problem, seed, {}, shared)
    model: Any = runner.model.eval()
    errors: list[list[float]] = []
    with torch.no_grad():
        for data_batch in runner.val_dataloader:
            errors += [_errors(sample, problem.tasks) for sample in model.val_step(data_batch)]
    affinity = difficulty_affinity(np.array(errors).T)
    budget = problem.madds(problem.tree)
    trees = [
        fafs_tree(affinity, problem.layer_madds, alpha) for alpha in np.geomspace(1e-3, 1e3, 121)
    ]
    fitting = [tree for tree in trees if problem.madds(tree) <= 1.05 * budget] or trees
    return min(fitting, key=lambda tree: abs(problem.madds(tree) - budget))


def _errors(sample: Any, tasks: Sequence[str]) -> list[float]:
    """Return the mean absolute error of each task on one image."""
    return [
        float((sample.get(f'pred_{task}').data - sample.get(f'gt_{task}').data).abs().mean())
        for task in tasks
    ]


METHODS = {
    method.name: method
    for method in (
        Method('similarity', 'similarity.py'),
        Method(
            'similarity, no shared start',
            'similarity.py',
            {'weight_iters': 400, 'train_cfg.shared_fraction': 0.0},
        ),
        Method('gradient', 'search.py'),
        Method('gradient, lambda 10', 'search.py', {'model.resource_loss.weight': 10.0}),
        Method('recursion', 'search.py', {'model.resource_loss.expectation': 'recursive'}),
        Method('hard', 'search.py', {'model.backbone.routing': dict(type='HardRouting')}),
        Method('top2', 'search.py', {'model.backbone.routing': dict(type='TopKRouting', k=2)}),
        Method('bmn', choose=_bmn),
        Method('fafs', choose=_fafs),
        Method('vanilla', choose=_vanilla),
        Method('random', choose=_random),
    )
}
