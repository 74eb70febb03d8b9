"""Trees that a search has found."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from mmbmtas.comparison.configs import ComparedConfigs, check_reach
from mmbmtas.comparison.kinds.base import Kind, Plan
from mmbmtas.comparison.models import ModelSpec
from mmbmtas.comparison.options import flatten_options
from mmbmtas.errors import InputError
from mmbmtas.launch.jobs import Step


def read_search(settings: Mapping[str, Any], file: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return settings with the file's search and options filled in.

    Raises:
        ValueError: There is no search, or an option cannot be handed on.
    """
    search = settings['search'] or file.get('search')
    if not search:
        raise InputError(f'{where}: no config of the search, neither here nor at the top')
    options = {
        **file['cfg_options'],
        **file['search_options'],
        **flatten_options(settings['search_options'], f'{where}: search_options'),
    }
    return {**settings, 'search': search, 'search_options': options}


class Searched(Kind):
    """A search for each seed, then its tree."""

    name = 'searched'
    keys: ClassVar = {'search': None, 'search_options': {}}

    def read(
        self, name: str, settings: Mapping[str, Any], file: Mapping[str, Any], where: str
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Fill in the file's search and options."""
        yield name, read_search(settings, file, where)

    def check(self, model: ModelSpec, configs: ComparedConfigs, where: str) -> None:
        """Check that the search is for the tasks and the encoder of the branched networks."""
        path, branched = model['search'], configs.branched
        search = configs.read(path, model['search_options'])
        configs.check_tasks(search.tasks, path, where)
        own, other = search.encoder.to_config(), branched.encoder.to_config()
        if own != other:
            raise InputError(
                f'{where}: {path} searches a tree of {own}, {configs.comparison.branched} '
                f'trains one of {other}'
            )
        loss = search.cfg.model.get('resource_loss') or {}
        check_reach(loss.get('target_madds'), search, f'{where}: resource_loss.target_madds')

    def tree_step(self, plan: Plan, model: ModelSpec, seed: int) -> Step:
        """Plan the search."""
        options = {**model['search_options'], 'randomness.seed': seed}
        return plan.steps.search(f'{model.name}_seed{seed}/search', model['search'], options)
