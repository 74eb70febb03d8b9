"""Budgets of paths: targets, distances from them, and the likeliest paths within a budget."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmbmtas.cost import PathLatencyTable, expected_sum, expected_union, path_costs, unchecked
from mmbmtas.errors import InputError
from mmbmtas.grouping import likeliest_paths
from mmbmtas.losses.resource_loss import TOLERANCE
from mmbmtas.paths.cost import PathNetworkCost
from mmbmtas.structures.values import require_positive

Paths = Mapping[str, Sequence[int]]
"""A path of each domain: the candidate of each searched layer."""

_CHANGE = 1e-9
"""What a choice that is not the most probable one loses at least: on a tie it stays."""


class Budget:
    """A target of multiply-adds or time for each domain, of parameters for all, or none.

    Costs are those of whole networks: stem, nodes, last layer and decoders, as ``madds`` of an
    architecture file has them.

    Args:
        cost: Costs of the network's parts.
        target_madds: Multiply-adds of a domain's network, for all domains or by domain (TuNAS).
        target_union_params: Parameters of the network of all domains, in which each node counts
            once. It makes domains share, which no published reward asks for: ours.
        at_most: Whether the target is a limit, so that a cost below is no worse (ours).
        latency: Measured times of the candidates.
        target_latency_ms: Milliseconds of a domain's network by that table, for all domains or by
            domain (ours).

    Raises:
        InputError: Several targets are given, one is out of reach, domains are others, ``at_most``
            is without a target, or table and target of latency are not both there.
    """

    def __init__(
        self,
        cost: PathNetworkCost,
        target_madds: float | Mapping[str, float] | None = None,
        target_union_params: float | None = None,
        at_most: bool = False,
        latency: PathLatencyTable | None = None,
        target_latency_ms: float | Mapping[str, float] | None = None,
    ) -> None:
        targets = {
            'target_madds': target_madds,
            'target_union_params': target_union_params,
            'target_latency_ms': target_latency_ms,
        }
        stated = [f'{name} {value}' for name, value in targets.items() if value is not None]
        if len(stated) > 1:
            raise InputError(f'train_cfg.{" and ".join(stated)}: expected one of them')
        if not isinstance(at_most, bool):
            raise InputError(f'train_cfg.at_most {at_most!r}: expected True or False')
        if at_most and not stated:
            raise InputError(
                f'train_cfg.at_most=True needs a limit: set one of {", ".join(targets)}'
            )
        if (latency is None) != (target_latency_ms is None):
            raise InputError(
                'train_cfg.latency=FILE.json, which tools/analysis_tools/measure_latency.py '
                'writes, and train_cfg.target_latency_ms=MS go together: expected both or neither'
            )
        self.domains = tuple(cost.domains)
        self.at_most = at_most
        self.is_common = target_union_params is not None
        self.targets: dict[str, float] = {}
        """The target of each domain, or the common one for each."""
        if target_union_params is not None:
            self._table = cost.table('params')
            self._fixed = dict.fromkeys(self.domains, float(cost.fixed.params))
            self._take_common(
                target_union_params, [[c.params for c in layer] for layer in cost.candidates]
            )
        if target_madds is not None:
            self._table = cost.table('madds')
            self._fixed = {domain: float(cost.fixed_of(domain).madds) for domain in self.domains}
            nodes = [[float(c.madds) for c in layer] for layer in cost.candidates]
            self._take_each('target_madds', target_madds, nodes, 'multiply-adds', ',.0f')
        if latency is not None and target_latency_ms is not None:
            self._table = latency.table()
            self._fixed = {domain: latency.fixed_of(domain) for domain in self.domains}
            nodes = [[*row] for row in latency.candidates_ms]
            self._take_each('target_latency_ms', target_latency_ms, nodes, 'milliseconds', ',.3f')

    def __bool__(self) -> bool:
        return bool(self.targets)

    def ratios(self, paths: Paths) -> dict[str, float | None]:
        """Return the cost over the target of each domain's path; None without a target.

        With a target for all together, every domain has the same ratio. With a limit, none is below
        1.

        Args:
            paths: The path of each domain.
        """
        if not self:
            return dict.fromkeys(self.domains)
        costs = path_costs([paths[domain] for domain in self.domains], self._table)
        nodes = [costs.union] * len(self.domains) if self.is_common else costs.per_domain
        ratios = {
            domain: (self._fixed[domain] + own) / self.targets[domain]
            for domain, own in zip(self.domains, nodes, strict=True)
        }
        return {d: max(1.0, ratio) if self.at_most else ratio for d, ratio in ratios.items()}

    def distance(self, probs: Tensor) -> Tensor:
        """Return ``|E[cost] / target - 1|``, of several targets summed; exact, differentiable.

        Of a limit it is ``max(E[cost] / target - 1, 0)``. It is ours: sampled paths say the same
        with noise.

        Args:
            probs: How likely each domain takes each candidate, ``(L, D, C)``.
        """
        with unchecked():
            if self.is_common:
                nodes = {self.domains[0]: expected_union(probs, self._table)}
            else:
                rows = probs.split(1, dim=1)
                nodes = {
                    domain: expected_sum(rows[index], self._table)
                    for index, domain in enumerate(self.targets)
                }
        excesses = [
            (self._fixed[domain] + expected) / self.targets[domain] - 1
            for domain, expected in nodes.items()
        ]
        terms = [x.clamp(min=0) if self.at_most else x.abs() for x in excesses]
        return sum(terms, probs.new_zeros(()))

    def misses(self, paths: Paths) -> dict[str, float]:
        """Return by how much paths miss their targets, as a share, if by more than 5 %.

        Args:
            paths: The path of each domain.
        """
        return {
            domain: ratio - 1
            for domain, ratio in self.ratios(paths).items()
            if ratio is not None and abs(ratio - 1) > TOLERANCE + 1e-9
        }

    def describe_misses(self, paths: Paths) -> str:
        """Say by how much paths miss their targets, as :meth:`misses`; nothing where none does.

        Args:
            paths: The path of each domain.
        """
        misses = self.misses(paths)
        if self.is_common and misses:
            misses = {'all domains together': next(iter(misses.values()))}
        return ', '.join(
            f'{domain} {abs(miss):.1%} {"above" if miss > 0 else "below"}'
            for domain, miss in misses.items()
        )

    @torch.no_grad()
    def likeliest(self, policy: Any) -> dict[str, tuple[int, ...]]:
        """Return the likeliest of the paths within the budget (ours).

        If the most probable paths miss a target by more than 5 %, or a limit at all, choices are
        changed. Of all paths within, those are taken whose choices have the greatest probability
        beside the most probable ones, multiplied: see :func:`~mmbmtas.grouping.likeliest_paths`.
        Where none are within, the cost is the nearest.

        Args:
            policy: What draws paths, see :class:`~mmbmtas.paths.policies.Policy`.
        """
        chosen = policy.argmax().cpu()  # (L, D)
        paths = {d: tuple(chosen[:, policy.index(d)].tolist()) for d in self.domains}
        if not self or not self._is_outside(paths):
            return paths
        scores = policy.scores().double().cpu() - _CHANGE
        scores.scatter_add_(2, chosen[..., None], torch.full_like(scores, _CHANGE))
        together = [[policy.index(domain) for domain in group] for group in policy.choosers]
        joint = torch.stack([scores[:, group].sum(dim=1) for group in together], dim=1)
        if self.is_common:
            found = likeliest_paths(joint, self._table, *self._range(self.domains))
        else:
            each = [
                likeliest_paths(joint[:, [index]], self._table, *self._range(group))
                for index, group in enumerate(policy.choosers)
            ]
            found = torch.cat([*map(torch.as_tensor, each)], dim=1).numpy()
        return {
            domain: tuple(found[:, index].tolist())
            for domain in self.domains
            for index, group in enumerate(policy.choosers)
            if domain in group
        }

    def _is_outside(self, paths: Paths) -> bool:
        most = 1.0 if self.at_most else 1 + TOLERANCE
        ratios = [ratio for ratio in self.ratios(paths).values() if ratio is not None]
        return not all(2 - most <= ratio <= most for ratio in ratios)

    def _range(self, domains: Sequence[str]) -> tuple[float, float]:
        """Return what the nodes of a path cost at least and at most that some domains have."""
        least = 0.0 if self.at_most else 1 - TOLERANCE
        most = 1.0 if self.at_most else 1 + TOLERANCE
        lows = [least * self.targets[domain] - self._fixed[domain] for domain in domains]
        highs = [most * self.targets[domain] - self._fixed[domain] for domain in domains]
        low, high = max(lows), min(highs)
        return min(low, high), max(low, high)  # where no path suits all, it is between them

    def _take_each(
        self,
        key: str,
        target: float | Mapping[str, float],
        costs: Sequence[Sequence[float]],
        unit: str,
        form: str,
    ) -> None:
        """Keep a target for each domain, if it is within reach."""
        targets = target if isinstance(target, Mapping) else dict.fromkeys(self.domains, target)
        if set(targets) != set(self.domains):
            raise InputError(
                f'train_cfg.{key} has the domains {[*targets]}, expected {[*self.domains]}'
            )
        ends = [sum(map(pick, costs)) for pick in (min, max)]
        for domain in self.domains:
            name = f'train_cfg.{key} of {domain}'
            low, high = (self._fixed[domain] + nodes for nodes in ends)
            what = f'{unit} of its smallest and largest path'
            self.targets[domain] = self._within_reach(name, targets[domain], low, high, what, form)

    def _take_common(self, target: float, costs: Sequence[Sequence[float]]) -> None:
        """Keep a target for all, if some paths reach it."""
        layers, fixed = [*map(sorted, costs)], self._fixed[self.domains[0]]
        low = fixed + sum(layer[0] for layer in layers)
        high = fixed + sum(sum(layer[-len(self.domains) :]) for layer in layers)
        what = 'parameters if all domains take the smallest nodes, and if each takes a large one'
        name = 'train_cfg.target_union_params'
        value = self._within_reach(name, target, low, high, what)
        self.targets = dict.fromkeys(self.domains, value)

    def _within_reach(
        self, name: str, value: Any, low: float, high: float, what: str, form: str = ',.0f'
    ) -> float:
        """Return a target that is a number and within reach; a limit may be above it."""
        target = require_positive(name, value)
        if not low <= target <= (math.inf if self.at_most else high):
            raise InputError(
                f'{name} {target:{form}} is out of reach: expected {low:{form}} to {high:{form}}, '
                f'the {what}'
            )
        return target
