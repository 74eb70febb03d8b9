"""Searches and trainings on planted problems, each in this process."""

import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor

from mmbmtas.engine import launch
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
    'default_hooks.visualization': None,
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
    cfg.experiment_name = f'planted_{next(_number)}'
    if tree is not None:
        cfg.architecture = problem.architecture(tree).to_dict()
        cfg.model.backbone.architecture = cfg.architecture
        cfg.train_cfg.val_interval = 10**9  # scored once, after the training
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        launch.prepare_config(cfg)
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


@torch.no_grad()
def _bmn(problem: Problem, seed: int) -> Tree:
    """Compare the features of single-task networks (all apart: the stem is nothing)."""
    count = len(problem.tasks)
    apart = (TaskGrouping.all_apart(count),) * len(problem.layers)
    runner = _run('branched.py', problem, seed, {}, apart)
    model: Any = runner.model.eval()
    kept: list[list[list[Tensor]]] = []
    for data_batch in runner.val_dataloader:
        outputs: list[list[Tensor]] = []
        hooks = [
            branch.register_forward_hook(lambda _, __, output, at=at: at.append(output))
            for branches in model.backbone.layers
            for at in [[]]
            if outputs.append(at) is None
            for branch in branches
        ]
        model.backbone(model.data_preprocessor(data_batch, False)['inputs'])
        for hook in hooks:
            hook.remove()
        kept.append(outputs)
    affinities = []
    for layer in range(len(problem.layers)):
        # A layer's hooks are called task by task, as the branches are.
        tasks = [torch.cat([batch[layer][task] for batch in kept]) for task in range(count)]
        affinities.append(rsa_affinity([dissimilarity(features.numpy()) for features in tasks]))
    return least_cost_tree(
        grouping_costs(np.stack(affinities)),
        problem.layer_madds,
        problem.madds(problem.tree),
        problem.fixed_madds,
    )


@torch.no_grad()
def _fafs(problem: Problem, seed: int) -> Tree:
    """Group tasks for which the same images are hard, at the alpha that comes closest to the budget."""
    count = len(problem.tasks)
    shared = (TaskGrouping.shared(count),) * len(problem.layers)
    runner = _run('branched.py', problem, seed, {}, shared)
    model: Any = runner.model.eval()
    errors = []
    for data_batch in runner.val_dataloader:
        for sample in model.val_step(data_batch):
            errors.append(
                [
                    float((sample.get(f'pred_{t}').data - sample.get(f'gt_{t}').data).abs().mean())
                    for t in problem.tasks
                ]
            )
    affinity = difficulty_affinity(np.array(errors).T)
    budget = problem.madds(problem.tree)
    trees = [
        fafs_tree(affinity, problem.layer_madds, alpha) for alpha in np.geomspace(1e-3, 1e3, 121)
    ]
    fitting = [tree for tree in trees if problem.madds(tree) <= 1.05 * budget] or trees
    return min(fitting, key=lambda tree: abs(problem.madds(tree) - budget))


METHODS = {
    method.name: method
    for method in (
        Method('similarity', 'similarity.py'),
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
