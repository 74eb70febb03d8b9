"""From a comparison to command lines: which steps each of its rows needs."""

from collections.abc import Collection, Sequence
from pathlib import Path

from mmbmtas.comparison.kinds import KINDS
from mmbmtas.comparison.models import Comparison, ModelSpec
from mmbmtas.comparison.rows import Run, Tree, members, run_name
from mmbmtas.comparison.steps import Steps
from mmbmtas.launch.jobs import Step, StepFolders


class Planner:
    """Lists the rows of a comparison, with the steps that each of them needs.

    Args:
        comparison: The comparison.
        tasks: Its tasks.
        batch: Images of a batch of its config.
        tools: Folder of the command lines.
        folders: Where steps work.
        trees: Folder of the trees of finished rows.
        finished: Names of the finished rows.
    """

    def __init__(
        self,
        comparison: Comparison,
        tasks: Sequence[str],
        batch: int,
        tools: Path,
        folders: StepFolders,
        trees: Path,
        finished: Collection[str] = (),
    ) -> None:
        self.comparison, self.tasks, self.batch = comparison, tuple(tasks), batch
        self.steps = Steps(comparison, tools, folders)
        self._trees, self._finished = trees, finished

    def runs(self) -> list[Run]:
        """List all rows, in the order of the models."""
        return [
            self.run(model, seed, member)
            for model in self.comparison.models
            for seed in model.seeds
            for member in members(model)
        ]

    def run(self, model: ModelSpec, seed: int, member: int = 0) -> Run:
        """Plan one row."""
        kind = KINDS[model.kind]
        networks = kind.networks(self, model, seed, member)
        starts = kind.starts(self, model, seed)
        trainings = [
            self.steps.training(f'{folder}/train', network, seed, kind.train_step, starts)
            for folder, network in networks.items()
        ]
        tests = [
            self.steps.test(f'{folder}/test', network, training)
            for (folder, network), training in zip(networks.items(), trainings, strict=True)
        ]
        name = run_name(model, seed, member)
        return Run(
            name, model, seed, member, tuple(networks.values()), tuple(trainings), tuple(tests)
        )

    def tree(self, model: ModelSpec, seed: int, member: int = 0) -> Tree:
        """Return the tree of a model, seed and member."""
        return KINDS[model.kind].tree(self, model, seed, member)

    def stored(self, name: str, run: str, step: Step, path: Path) -> Tree:
        """Return the stored tree of a finished row, else the one that the step will write."""
        stored = self._trees / f'{name}.json'
        if run in self._finished and stored.is_file():
            return Tree(name, stored, step.settings, None)
        return Tree(name, path, step.settings, step)
