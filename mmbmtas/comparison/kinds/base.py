"""The base of the kinds of models: a kind defines how its networks are made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from mmbmtas.comparison.configs import ComparedConfigs
from mmbmtas.comparison.models import Comparison, ModelSpec
from mmbmtas.comparison.rows import Network, Run, Tree, run_name
from mmbmtas.comparison.steps import Steps
from mmbmtas.launch.jobs import Step


@dataclass(frozen=True)
class Reference:
    """A key of a kind that names another model of the comparison.

    Attributes:
        default: The kind whose first model is meant where the key is absent.
        any_tree: Whether models of other kinds that have one tree a seed serve too.
        any_kind: Whether models of all other kinds serve too, but for those of paths.
        optional: Whether no model is meant where the key is absent.
    """

    default: str
    any_tree: bool = False
    any_kind: bool = False
    optional: bool = False


class Plan(Protocol):
    """The interface that a kind uses of :class:`mmbmtas.comparison.plan.Planner`."""

    comparison: Comparison
    tasks: tuple[str, ...]
    batch: int
    steps: Steps

    def run(self, model: ModelSpec, seed: int, member: int = 0) -> Run:
        """Plan one row of any model."""
        ...

    def tree(self, model: ModelSpec, seed: int, member: int = 0) -> Tree:
        """Return the tree of any model that has one."""
        ...

    def stored(self, name: str, run: str, step: Step, path: Path) -> Tree:
        """Return the stored tree of a finished row, else the one that the step will write."""
        ...


class Kind:
    """A kind of models: the keys of an entry in the file, its networks, and how they are made.

    A subclass states :attr:`name` and :meth:`tree`, or :meth:`networks`; the rest has defaults.
    :data:`mmbmtas.comparison.kinds.KINDS` lists all kinds.

    Attributes:
        name: What an entry gives as ``kind``.
        keys: Further keys of an entry, with their defaults.
        references: Those of the keys that name another model.
        has_tree: Whether a row has one tree, to draw and for others to refer to.
        of_paths: Whether its networks have paths of domains, rather than trees.
        train_step: Kind of its training steps: steps of a kind are expected to take equally long.
    """

    name: ClassVar[str]
    keys: ClassVar[Mapping[str, Any]] = {}
    references: ClassVar[Mapping[str, Reference]] = {}
    has_tree: ClassVar[bool] = True
    of_paths: ClassVar[bool] = False
    train_step: ClassVar[str] = 'train'

    def read(
        self, name: str, settings: Mapping[str, Any], file: Mapping[str, Any], where: str
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the models that an entry describes, each with its name and settings.

        Args:
            name: The entry's name.
            settings: The keys of the kind: what the entry states, else the defaults.
            file: What the file says at its top; its options are flat already.
            where: File and entry, for messages.

        Raises:
            ValueError: A setting means nothing.
        """
        yield name, dict(settings)

    def check(self, model: ModelSpec, configs: ComparedConfigs, where: str) -> None:
        """Check a model against the configs, before anything is trained.

        Raises:
            ValueError: They do not fit one another, or a budget is out of reach.
        """

    def networks(
        self, plan: Plan, model: ModelSpec, seed: int, member: int
    ) -> Mapping[str, Network]:
        """Return the networks of a row by the folders in which their steps work."""
        name = run_name(model, seed, member)
        tree = plan.tree(model, seed, member)
        return {name: Network(plan.comparison.branched, model.options, tree)}

    def tree(self, plan: Plan, model: ModelSpec, seed: int, member: int) -> Tree:
        """Return the tree of a row, where the kind has one: here the one of its step."""
        name = run_name(model, seed, member)
        step = self.tree_step(plan, model, seed)
        path = step.output.with_name(f'tree_{member}.json') if member else step.output
        return plan.stored(name, name, step, path)

    def tree_step(self, plan: Plan, model: ModelSpec, seed: int) -> Step:
        """Plan what makes the tree, or the several trees, of a model and seed."""
        raise NotImplementedError

    def starts(self, plan: Plan, model: ModelSpec, seed: int) -> Mapping[str, Step]:
        """Return the single-task trainings from whose weights a network starts, by task."""
        return {}

    def files(self, run: Run) -> Sequence[tuple[Path, str]]:
        """List further files to keep of a finished row, and their places in the results."""
        return ()
