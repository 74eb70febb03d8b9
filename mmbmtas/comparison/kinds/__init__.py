"""The kinds of models in a comparison, one class each, listed in :data:`KINDS`."""

from .base import Kind, Plan, Reference
from .budgeted import Random, Vanilla
from .cell import Cell
from .exchange import Exchange
from .given import GivenTree, Permutations
from .measured import Bmn, Fafs
from .paths import Independent, MultiHead, Paths, RandomPaths, SinglePath
from .searched import Searched
from .uniform import AllApart, Shared, Single

__all__ = ['KINDS', 'Kind', 'Plan', 'Reference']

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Single(),
        Shared(),
        AllApart(),
        Searched(),
        Random(),
        Vanilla(),
        Permutations(),
        Fafs(),
        Bmn(),
        GivenTree(),
        Exchange(),
        Cell(),
        Independent(),
        SinglePath(),
        MultiHead(),
        RandomPaths(),
        Paths(),
    )
}
"""What an entry of a comparison's file may give as ``kind``; ``docs/compare.md`` lists the keys."""
