"""Trees chosen from measurements on trained networks: FAFS and BMN."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmbmtas.comparison.configs import ComparedConfigs
from mmbmtas.comparison.kinds.base import Kind, Plan, Reference
from mmbmtas.comparison.kinds.budgeted import Budgeted
from mmbmtas.comparison.models import ModelSpec
from mmbmtas.comparison.rows import Run
from mmbmtas.errors import InputError
from mmbmtas.grouping.bmn import MIN_IMAGES
from mmbmtas.launch.jobs import Step


class Fafs(Kind):
    """FAFS on the shared network."""

    name = 'fafs'
    keys: ClassVar = {'shared': None, 'alpha': 1.0, 'images': 500}
    references: ClassVar = {'shared': Reference('shared')}

    def read(
        self, name: str, settings: Mapping[str, Any], file: Mapping[str, Any], where: str
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Make one model for each alpha."""
        alphas = settings['alpha']
        if not isinstance(alphas, Sequence):
            yield name, dict(settings)
            return
        for alpha in alphas:
            yield f'{name}_{alpha:g}', {**settings, 'alpha': alpha}

    def tree_step(self, plan: Plan, model: ModelSpec, seed: int) -> Step:
        """Plan the measurement on the shared network and the choice."""
        (training,) = plan.run(plan.comparison.model(model['shared']), seed).trainings
        words = ('--alpha', model['alpha'], '--images', model['images'], '--seed', seed)
        return plan.steps.tree(
            f'{model.name}_seed{seed}/tree',
            'fafs',
            model,
            words,
            {'shared': training},
            lambda: [plan.steps.checkpoint(training)],
            kind='measure',
        )


class Bmn(Budgeted):
    """BMN on the single-task networks."""

    name = 'bmn'
    keys: ClassVar = {'single': None, 'reference': None, 'budget': None, 'images': 500}
    references: ClassVar = {**Budgeted.references, 'single': Reference('single')}
    is_cap = True

    def check(self, model: ModelSpec, configs: ComparedConfigs, where: str) -> None:
        """Check that there are enough images, and that the budget is within reach."""
        if model['images'] < MIN_IMAGES:
            raise InputError(f'{where}: {model["images"]} images, expected at least {MIN_IMAGES}')
        super().check(model, configs, where)

    def tree_step(self, plan: Plan, model: ModelSpec, seed: int) -> Step:
        """Plan the measurement on the single-task networks and the choice."""
        single = plan.run(plan.comparison.model(model['single']), seed)
        trainings = dict(zip(plan.tasks, single.trainings, strict=True))
        words = ('--images', model['images'], '--seed', seed)

        def checkpoints() -> list[str]:
            checkpoint = plan.steps.checkpoint
            found = [f'{task}={checkpoint(step)}' for task, step in trainings.items()]
            return ['--checkpoints', *found]

        return self.budgeted_step(
            plan, model, seed, 'bmn', '--cap', words, trainings, checkpoints, 'measure'
        )

    def files(self, run: Run) -> Sequence[tuple[Path, str]]:
        """Keep the affinities of the tasks."""
        tree = run.networks[0].tree
        assert tree is not None
        return [(tree.path.with_name('rsa.npy'), f'affinities/{run.name}.npy')]
