"""Trees that come from another tree, or from a file."""

from pathlib import Path
from typing import ClassVar

from mmbmtas.comparison.configs import ComparedConfigs
from mmbmtas.comparison.kinds.base import Kind, Plan
from mmbmtas.comparison.kinds.budgeted import ANY_TREE
from mmbmtas.comparison.models import ModelSpec
from mmbmtas.comparison.rows import Tree, digest, run_name
from mmbmtas.comparison.steps import Words, texts
from mmbmtas.errors import InputError
from mmbmtas.launch.jobs import Step
from mmbmtas.structures import BranchedArchitecture


class Permutations(Kind):
    """The reference's tree with its tasks permuted."""

    name = 'permutations'
    keys: ClassVar = {'reference': None, 'number': 5}
    references: ClassVar = {'reference': ANY_TREE}

    def tree_step(self, plan: Plan, model: ModelSpec, seed: int) -> Step:
        """Plan all permutations of a seed."""
        steps = plan.steps
        reference = plan.tree(plan.comparison.model(model['reference']), seed)
        words = ('--number', model.number, '--seed', seed)
        folder = f'{model.name}_seed{seed}/tree'

        def command() -> Words:
            out = steps.folders[folder] / 'tree.json'
            return [steps.grouping('permute'), reference.path, '-o', out, *texts(words)]

        settings = {'words': [*words], 'needs': {'reference': digest(reference.settings)}}
        output = steps.tree_output(model)
        return steps.step(folder, 'tree', settings, command, output, reference.needs)


class GivenTree(Kind):
    """The tree in a file."""

    name = 'tree'
    keys: ClassVar = {'architecture': None}

    def check(self, model: ModelSpec, configs: ComparedConfigs, where: str) -> None:
        """Check that the file's tree fits the branched networks."""
        try:
            configs.branched.madds_of(model['architecture'])
        except ValueError as error:
            raise InputError(f'{where}: {error}') from error

    def tree(self, plan: Plan, model: ModelSpec, seed: int, member: int) -> Tree:
        """Return the file."""
        path = model['architecture']
        tree = BranchedArchitecture.load(path)
        content = {'encoder': tree.encoder, 'routing': dict(tree.routing)}
        return Tree(run_name(model, seed, member), Path(path), content, None)
