"""Networks whose trees need no choice: one task each, all layers shared, or none."""

from collections.abc import Mapping

from mmbmtas.comparison.kinds.base import Kind, Plan
from mmbmtas.comparison.models import ModelSpec
from mmbmtas.comparison.rows import Network, Tree, run_name


class Single(Kind):
    """One network for each task; the baseline of all other models."""

    name = 'single'
    has_tree = False
    train_step = 'train single'  # takes less time than a tree

    def networks(
        self, plan: Plan, model: ModelSpec, seed: int, member: int
    ) -> Mapping[str, Network]:
        """Return a network of a task for each task."""
        name = run_name(model, seed, member)
        return {
            f'{name}/{task}': Network(
                plan.comparison.branched, model.options, self._tree_of(plan, model, task)
            )
            for task in plan.tasks
        }

    def _tree_of(self, plan: Plan, model: ModelSpec, task: str) -> Tree:
        name = f'{model.name}_{task}'
        step = plan.steps.tree(f'{name}/tree', 'uniform', model, ('--task', task))
        return plan.stored(name, run_name(model, model.seeds[0], 0), step, step.output)


class Uniform(Kind):
    """A tree that is the same in all layers, and for all seeds."""

    def tree(self, plan: Plan, model: ModelSpec, seed: int, member: int) -> Tree:
        """Return the tree, which one step makes for all seeds."""
        words = ('--kind', self.name)
        step = plan.steps.tree(f'{model.name}/tree', 'uniform', model, words)
        return plan.stored(model.name, run_name(model, seed, member), step, step.output)


class Shared(Uniform):
    """All encoder layers shared."""

    name = 'shared'


class AllApart(Uniform):
    """No encoder layer shared."""

    name = 'all_apart'
