"""The planted problems, and how a config is set to one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from mmbmtas.errors import InputError
from mmbmtas.grouping import Tree, tree_madds
from mmbmtas.structures import BranchedArchitecture, TaskGrouping

_SIZE = 16
"""Height and width of the images in pixels."""


@dataclass(frozen=True)
class Problem:
    """A planted tree, written with a letter for each task: ``ac|bd`` for a layer, ``/`` between.

    Attributes:
        name: Its name in tables.
        text: The tree, such as ``abcd/ac|bd/ac|bd``.
        width: Channels of every branch.
    """

    name: str
    text: str
    width: int = 4

    @property
    def layers(self) -> list[list[list[str]]]:
        """The groups of each layer."""
        return [[[*group] for group in layer.split('|')] for layer in self.text.split('/')]

    @property
    def tasks(self) -> list[str]:
        """The tasks, in alphabetical order."""
        return sorted({task for group in self.layers[0] for task in group})

    @property
    def tree(self) -> Tree:
        """The planted tree."""
        try:
            return tuple(
                TaskGrouping(tuple(tuple(self.tasks.index(t) for t in group) for group in layer))
                for layer in self.layers
            )
        except ValueError as error:
            raise InputError(
                f'problem {self.text!r} is no tree: expected the same letters in every layer'
            ) from error

    @property
    def encoder(self) -> dict[str, Any]:
        """Config of the student's encoder."""
        return dict(type='PlainEncoder', width=self.width, depth=len(self.layers))

    @property
    def layer_madds(self) -> list[int]:
        """Multiply-adds of one copy of each layer."""
        inputs = [3, *[self.width] * (len(self.layers) - 1)]
        return [9 * channels * self.width * _SIZE**2 for channels in inputs]

    @property
    def fixed_madds(self) -> int:
        """Multiply-adds of the readouts."""
        return len(self.tasks) * self.width * _SIZE**2

    def madds(self, tree: Tree) -> int:
        """Multiply-adds of a whole network."""
        return tree_madds(tree, self.layer_madds) + self.fixed_madds

    def describe(self, tree: Sequence[TaskGrouping]) -> str:
        """Write a tree in the form of :attr:`text`."""
        return '/'.join(
            '|'.join(''.join(self.tasks[task] for task in group) for group in layer.groups)
            for layer in tree
        )

    def architecture(self, tree: Tree) -> BranchedArchitecture:
        """Return a tree as an architecture."""
        return BranchedArchitecture.from_groupings(self.tasks, self.encoder, tree)


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem('pairs, layer 1', 'ac|bd/ac|bd/ac|bd'),
        Problem('pairs, layer 2', 'abcd/ac|bd/ac|bd'),
        Problem('pairs, layer 3', 'abcd/abcd/ac|bd'),
        Problem('3+1', 'abd|c/abd|c/abd|c'),
        Problem('2+1+1', 'ad|b|c/ad|b|c/ad|b|c'),
        Problem('2+2+1', 'ac|be|d/ac|be|d/ac|be|d'),
        Problem('3+3', 'acf|bde/acf|bde/acf|bde'),
        Problem('2+2+2', 'ac|bf|de/ac|bf|de/ac|bf|de'),
        Problem('nested', 'abcd/ac|bd/ac|b|d'),
        Problem('shared', 'abcd/abcd/abcd'),
        Problem('apart', 'a|b|c|d/a|b|c|d/a|b|c|d'),
    )
}


def plant(cfg: Config, problem: Problem, seed: int) -> None:
    """Set a config of ``configs/planted`` to a problem, in place.

    Args:
        cfg: The config.
        problem: The problem.
        seed: Seed of the problem and of the run.
    """
    tasks = problem.tasks
    head = next(iter(cfg.model.decode_heads.values())).to_dict()
    head.pop('in_channels', None)  # filled in at launch, from the encoder that there was
    metric = cfg.val_evaluator[0]
    cfg.tasks = tasks
    cfg.randomness = dict(seed=seed)
    cfg.model.decode_heads = {task: dict(head, target_key=f'gt_{task}') for task in tasks}
    cfg.model.cost_shape = (_SIZE, _SIZE)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.update(
            tree=problem.layers, tasks=tasks, width=problem.width, size=_SIZE, seed=seed
        )
    cfg.val_evaluator = [dict(metric.to_dict(), task=task) for task in tasks]
    cfg.test_evaluator = cfg.val_evaluator
    cfg.model.backbone.encoder = problem.encoder
    if 'resource_loss' in cfg.model:
        cfg.model.backbone.tasks = tasks
        if cfg.model.resource_loss.get('target_madds') is not None:
            cfg.model.resource_loss.target_madds = float(problem.madds(problem.tree))
