"""Costs of networks of paths: the parts are measured once and then summed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mmbmtas.cost import ModuleCost, PathCosts, path_costs
from mmbmtas.cost.madds import forward_cost
from mmbmtas.encoders import Encoder
from mmbmtas.structures import PathArchitecture


@dataclass(frozen=True)
class PathNetworkCost:
    """Costs of the parts of a network of paths at one input size.

    Attributes:
        stem: The encoder's stem.
        candidates: Every candidate of every searched layer.
        context: The last layer.
        decoders: The decoder of each task.
        domains: Tasks of each domain.
    """

    stem: ModuleCost
    candidates: tuple[tuple[ModuleCost, ...], ...]
    context: ModuleCost
    decoders: Mapping[str, ModuleCost]
    domains: Mapping[str, tuple[str, ...]]

    @property
    def fixed(self) -> ModuleCost:
        """Cost of what no path changes, each part once: stem, last layer and all decoders."""
        return sum(self.decoders.values(), self.stem + self.context)

    def fixed_of(self, domain: str) -> ModuleCost:
        """Cost of what a domain's images pass on any path, with its decoders alone."""
        return sum((self.decoders[t] for t in self.domains[domain]), self.stem + self.context)

    def table(self, unit: str = 'madds') -> Tensor:
        """Return the costs of the candidates, ``(L, C)``, float64, padded with zeros.

        Args:
            unit: ``madds`` or ``params``.
        """
        most = max(map(len, self.candidates))
        table = torch.zeros(len(self.candidates), most, dtype=torch.float64)
        for layer, costs in enumerate(self.candidates):
            table[layer, : len(costs)] = torch.tensor([float(getattr(c, unit)) for c in costs])
        return table

    def paths(self, architecture: PathArchitecture, unit: str = 'madds') -> PathCosts:
        """Return the four costs of whole networks with these paths.

        Args:
            architecture: Paths of all domains or of some.
            unit: ``madds`` or ``params``.
        """
        ends = [getattr(part, unit) for part in (self.stem, self.context)]
        table = self.table(unit)
        first, last = torch.zeros_like(table[:1]), torch.zeros_like(table[:1])
        first[0, 0], last[0, 0] = ends
        routing = [[0, *architecture.routing[domain], 0] for domain in architecture.domains]
        encoders = path_costs(routing, torch.cat([first, table, last]))
        decoders = [
            sum(getattr(self.decoders[task], unit) for task in self.domains[domain])
            for domain in architecture.domains
        ]
        total = sum(decoders)
        return PathCosts(
            tuple(
                own + decoder for own, decoder in zip(encoders.per_domain, decoders, strict=True)
            ),
            encoders.sum + total,
            encoders.union + total,
            encoders.prefix + total,
        )


def measure_paths(
    encoder: Encoder,
    domains: Mapping[str, tuple[str, ...]],
    heads: Mapping[str, nn.Module],
    shape: tuple[int, int],
    taps: Sequence[int] | None = None,
) -> PathNetworkCost:
    """Measure the parts of a network of paths; nothing is computed.

    Args:
        encoder: The encoder.
        domains: Tasks of each domain.
        heads: The decoder of each task.
        shape: Height and width of the input in pixels.
        taps: The layers whose outputs the decoders are given, by default low-level and last.
    """
    x = torch.empty(1, 3, *shape, device='meta')
    with torch.device('meta'):
        x, stem = forward_cost(encoder.build_stem(), x)
        levels = {}
        for index in range(encoder.num_searched):
            x = encoder.build_candidate(index, 0).eval()(x)
            levels[index] = x
        levels[encoder.num_searched], last = forward_cost(
            encoder.build_layer(encoder.num_searched), x
        )
    features = tuple(levels[tap] for tap in taps or encoder.low_level_and_last)
    decoders = {task: forward_cost(head, features)[1] for task, head in heads.items()}
    candidates = tuple(map(tuple, encoder.measure_candidates(shape)))
    return PathNetworkCost(stem, candidates, last, decoders, dict(domains))


def with_path_cost(
    architecture: PathArchitecture, cost: PathNetworkCost, shape: tuple[int, int]
) -> PathArchitecture:
    """Return the same paths with what networks of them cost filled in."""
    found = cost.paths(architecture)
    madds: dict[str, Any] = {
        'shape': [*shape],
        'per_domain': [*map(int, found.per_domain)],
        **{name: int(getattr(found, name)) for name in ('sum', 'union', 'prefix')},
        'params': int(cost.paths(architecture, 'params').union),
    }
    return replace(architecture, madds=madds)
