"""Networks of paths: searched, one path for all domains, random, or one network per domain."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from mmbmtas.comparison.configs import ComparedConfigs
from mmbmtas.comparison.kinds.base import Kind, Plan, Reference
from mmbmtas.comparison.kinds.searched import read_search
from mmbmtas.comparison.models import ModelSpec
from mmbmtas.comparison.rows import Network, Tree, run_name
from mmbmtas.errors import InputError
from mmbmtas.launch.jobs import Step


class PathKind(Kind):
    """A kind whose networks have a path for each domain."""

    of_paths = True


class SearchedPaths(PathKind):
    """A kind that searches."""

    keys: ClassVar = {'search': None, 'search_options': {}}
    own_options: ClassVar[Mapping[str, Any]] = {}
    """Overrides of the search that make the kind what it is."""

    def read(
        self, name: str, settings: Mapping[str, Any], file: Mapping[str, Any], where: str
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Fill in the file's search and options."""
        found = read_search(settings, file, where)
        found['search_options'] = {**self.own_options, **found['search_options']}
        yield name, found

    def check(self, model: ModelSpec, configs: ComparedConfigs, where: str) -> None:
        """Check that the search is for the tasks and the space of the networks."""
        search, trained = configs.read(model['search'], model['search_options']), configs.trained
        configs.check_tasks(search.tasks, model['search'], where)
        own, other = search.encoder.to_config(), trained.encoder.to_config()
        if own != other:
            raise InputError(
                f'{where}: {model["search"]} searches paths through {own}, '
                f'{configs.comparison.branched} trains some through {other}'
            )

    def tree_step(self, plan: Plan, model: ModelSpec, seed: int) -> Step:
        """Plan the search."""
        options = {**model['search_options'], 'randomness.seed': seed}
        return plan.steps.search(f'{model.name}_seed{seed}/search', model['search'], options)


class Paths(SearchedPaths):
    """A search of paths for each seed (MPNAS), or networks of paths that another model found."""

    name = 'paths'
    keys: ClassVar = {**SearchedPaths.keys, 'reference': None}
    references: ClassVar = {'reference': Reference('paths', optional=True)}

    def tree(self, plan: Plan, model: ModelSpec, seed: int, member: int) -> Tree:
        """Return the paths of the search, or of the reference."""
        if model['reference'] is not None:
            return plan.tree(plan.comparison.model(model['reference']), seed)
        return super().tree(plan, model, seed, member)


class MultiHead(SearchedPaths):
    """A search of one path for all domains, with one policy that learns from all rewards."""

    name = 'multi_head'
    own_options: ClassVar = {'model.backbone.policy.type': 'CommonPolicy'}


class Independent(SearchedPaths):
    """A search and a network for each domain; the reference of the decathlon score."""

    name = 'independent'
    has_tree = False
    train_step = 'train independent'  # of one domain: takes less time than the others

    def networks(
        self, plan: Plan, model: ModelSpec, seed: int, member: int
    ) -> Mapping[str, Network]:
        """Return a network of a domain for each domain, with that domain's share of a batch."""
        name = run_name(model, seed, member)
        found = {}
        for task in plan.tasks:
            own = {
                'tasks': [task],
                'total_batch_size': plan.batch // len(plan.tasks),
                'randomness.seed': seed,
            }
            options = {**model['search_options'], **own}
            step = plan.steps.search(f'{name}/{task}/search', model['search'], options)
            tree = plan.stored(f'{name}_{task}', name, step, step.output)
            folder = f'{name}/{task}'
            found[folder] = Network(plan.comparison.branched, {**model.options, **own}, tree)
        return found


class Chosen(PathKind):
    """Paths that ``tools/grouping/paths.py`` chooses."""

    def choice(self, model: ModelSpec) -> str:
        """Return the tool's ``--kind``."""
        raise NotImplementedError

    def tree_step(self, plan: Plan, model: ModelSpec, seed: int) -> Step:
        """Plan the choice."""
        words = ('--kind', self.choice(model), '--seed', seed)
        return plan.steps.tree(f'{model.name}_seed{seed}/tree', 'paths', model, words)


class SinglePath(Chosen):
    """One path for all domains, without a search; it is trained, or ``frozen``.

    If it is frozen, only the decoders learn. The encoder keeps its initial weights, while its
    running statistics still follow the images.
    """

    name = 'single_path'
    keys: ClassVar = {'path': 'middle', 'frozen': False}
    _FROZEN: ClassVar = {
        f'optim_wrapper.paramwise_cfg.custom_keys.backbone.{key}': 0.0
        for key in ('lr_mult', 'decay_mult')
    }

    def read(
        self, name: str, settings: Mapping[str, Any], file: Mapping[str, Any], where: str
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Check which path it is, and whether it learns."""
        if settings['path'] not in ('middle', 'largest'):
            raise InputError(f"{where}: path {settings['path']!r}, expected 'middle' or 'largest'")
        if not isinstance(settings['frozen'], bool):
            raise InputError(f'{where}: frozen {settings["frozen"]!r}, expected True or False')
        yield name, dict(settings)

    def networks(
        self, plan: Plan, model: ModelSpec, seed: int, member: int
    ) -> Mapping[str, Network]:
        """Return the network; a frozen encoder learns at a rate of 0."""
        found = super().networks(plan, model, seed, member)
        if not model['frozen']:
            return found
        return {
            folder: replace(network, options={**network.options, **self._FROZEN})
            for folder, network in found.items()
        }

    def choice(self, model: ModelSpec) -> str:
        """Return which path."""
        return model['path']


class RandomPaths(Chosen):
    """A random path for each domain."""

    name = 'random_paths'

    def choice(self, model: ModelSpec) -> str:
        """Return the choice of random paths."""
        return 'random'
