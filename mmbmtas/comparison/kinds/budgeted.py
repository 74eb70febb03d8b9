"""Trees that a tool chooses for a budget: a number, or the cost of another model's tree."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from mmbmtas.comparison.configs import ComparedConfigs, check_reach
from mmbmtas.comparison.kinds.base import Kind, Plan, Reference
from mmbmtas.comparison.models import ModelSpec
from mmbmtas.comparison.steps import Words
from mmbmtas.launch.jobs import Step

ANY_TREE = Reference('searched', any_tree=True)
"""The key of a model whose tree gives a budget or is changed."""


class Budgeted(Kind):
    """A tool of ``tools/grouping`` that takes a budget."""

    references: ClassVar = {'reference': ANY_TREE}
    is_cap = False
    """Whether a budget above what any tree costs is meant too."""

    def check(self, model: ModelSpec, configs: ComparedConfigs, where: str) -> None:
        """Check that a tree for the budget exists."""
        if model['budget'] is not None:
            config = configs.read(configs.comparison.branched, model.options)
            check_reach(model['budget'], config, f'{where}: a budget', self.is_cap)

    def budgeted_step(
        self,
        plan: Plan,
        model: ModelSpec,
        seed: int,
        tool: str,
        flag: str,
        words: Sequence[Any],
        needs: Mapping[str, Step] | None = None,
        more: Callable[[], Words] = tuple,
        kind: str = 'tree',
    ) -> Step:
        """Plan the tool; ``flag`` is its option of a budget, the rest as :meth:`Steps.tree`."""
        name = f'{model.name}_seed{seed}/tree'
        if model['budget'] is not None:
            budget = (flag, f'{model["budget"]:g}', *words)
            return plan.steps.tree(name, tool, model, budget, needs, more, kind)
        tree = plan.tree(plan.comparison.model(model['reference']), seed)
        return plan.steps.tree(
            name,
            tool,
            model,
            words,
            needs,
            lambda: ['--reference', tree.path, *more()],
            kind,
            {'reference': tree},
        )


class Random(Budgeted):
    """Random trees with the same cost as the reference."""

    name = 'random'
    keys: ClassVar = {'reference': None, 'budget': None, 'tolerance': 0.02, 'number': 1}

    def tree_step(self, plan: Plan, model: ModelSpec, seed: int) -> Step:
        """Plan the draw of all trees of a seed."""
        words = ('--tolerance', model['tolerance'], '--number', model.number, '--seed', seed)
        return self.budgeted_step(plan, model, seed, 'random_tree', '--budget', words)


class Vanilla(Budgeted):
    """Trees whose first layers are shared and whose other layers are not."""

    name = 'vanilla'
    keys: ClassVar = {'reference': None, 'budget': None}

    def tree_step(self, plan: Plan, model: ModelSpec, seed: int) -> Step:
        """Plan the choice."""
        return self.budgeted_step(plan, model, seed, 'vanilla', '--budget', ())
