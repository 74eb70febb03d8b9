"""What paths may cost: targets, how far sampled paths are from them, and how far in expectation."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from mmbmtas.cost import expected_sum, expected_union, path_costs, unchecked
from mmbmtas.errors import InputError
from mmbmtas.paths.cost import PathNetworkCost
from mmbmtas.structures.values import require_positive

Paths = Mapping[str, Sequence[int]]
"""A path of each domain: the candidate of each searched layer."""


class Budget:
    """A target of multiply-adds for each domain, or of parameters for all together, or none.

    Costs are those of whole networks: stem, nodes, last layer and decoders, as ``madds`` of an
    architecture file has them.

    Args:
        cost: Costs of the network's parts.
        target_madds: Multiply-adds of a domain's network, for all domains or by domain (TuNAS).
        target_union_params: Parameters of the network of all domains, in which each node counts
            once. It makes domains share, which no published reward asks for: ours.

    Raises:
        InputError: Both targets are given, a target is out of reach, or domains are others.
    """

    def __init__(
        self,
        cost: PathNetworkCost,
        target_madds: float | Mapping[str, float] | None = None,
        target_union_params: float | None = None,
    ) -> None:
        if target_madds is not None and target_union_params is not None:
            raise InputError(
                f'train_cfg.target_madds {target_madds} and target_union_params '
                f'{target_union_params}: expected one of them'
            )
        self.domains = tuple(cost.domains)
        self.per_domain: dict[str, float] = {}
        self.union = target_union_params
        self._madds, self._params = cost.table('madds'), cost.table('params')
        self._fixed = {domain: cost.fixed_of(domain).madds for domain in self.domains}
        self._fixed_params = cost.fixed.params
        if target_madds is not None:
            self._take_madds(target_madds, cost)
        if target_union_params is not None:
            self._check_union(target_union_params, cost)

    def __bool__(self) -> bool:
        return bool(self.per_domain) or self.union is not None

    def ratios(self, paths: Paths) -> dict[str, float | None]:
        """Return the cost over the target of each domain's path; None without a target.

        With a target for all together, every domain has the same ratio.

        Args:
            paths: The path of each domain.
        """
        if not self:
            return dict.fromkeys(self.domains)
        routing = [paths[domain] for domain in self.domains]
        if self.union is not None:
            params = self._fixed_params + path_costs(routing, self._params).union
            return dict.fromkeys(self.domains, params / self.union)
        costs = path_costs(routing, self._madds).per_domain
        return {
            domain: (self._fixed[domain] + cost) / self.per_domain[domain]
            for domain, cost in zip(self.domains, costs, strict=True)
        }

    def distance(self, probs: Tensor) -> Tensor:
        """Return ``|E[cost] / target - 1|``, of several targets summed; exact, differentiable.

        It is ours: sampled paths say the same with noise.

        Args:
            probs: How likely each domain takes each candidate, ``(L, D, C)``.
        """
        if self.union is not None:
            with unchecked():
                expected = self._fixed_params + expected_union(probs, self._params)
            return (expected / self.union - 1).abs()
        with unchecked():
            terms = [
                (self._fixed[domain] + expected_sum(rows, self._madds)) / target - 1
                for rows, (domain, target) in zip(
                    probs.split(1, dim=1), self.per_domain.items(), strict=True
                )
            ]
        return sum((term.abs() for term in terms), probs.new_zeros(()))

    def _take_madds(self, target: float | Mapping[str, float], cost: PathNetworkCost) -> None:
        """Keep a target for each domain, if it is within reach."""
        targets = target if isinstance(target, Mapping) else dict.fromkeys(self.domains, target)
        if set(targets) != set(self.domains):
            raise InputError(
                f'train_cfg.target_madds has the domains {[*targets]}, expected {[*self.domains]}'
            )
        cheapest = sum(min(c.madds for c in layer) for layer in cost.candidates)
        dearest = sum(max(c.madds for c in layer) for layer in cost.candidates)
        for domain in self.domains:
            name = f'train_cfg.target_madds of {domain}'
            value = require_positive(name, targets[domain])
            low, high = (self._fixed[domain] + nodes for nodes in (cheapest, dearest))
            _require_reach(name, value, low, high, 'multiply-adds of its smallest and largest path')
            self.per_domain[domain] = value

    def _check_union(self, target: float, cost: PathNetworkCost) -> None:
        """Refuse a target that no paths reach."""
        require_positive('train_cfg.target_union_params', target)
        layers = [sorted(c.params for c in layer) for layer in cost.candidates]
        low = self._fixed_params + sum(layer[0] for layer in layers)
        high = self._fixed_params + sum(sum(layer[-len(self.domains) :]) for layer in layers)
        what = 'parameters if all domains take the smallest nodes, and if each takes a large one'
        _require_reach('train_cfg.target_union_params', target, low, high, what)


def _require_reach(name: str, target: float, low: float, high: float, what: str) -> None:
    if not low <= target <= high:
        raise InputError(
            f'{name} {target:,.0f} is out of reach: expected {low:,.0f} to {high:,.0f}, the {what}'
        )
