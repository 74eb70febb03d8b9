"""Find the likeliest paths of several domains whose nodes cost what a budget allows (ours).

Shapes: ``L`` layers, ``D`` domains, ``C`` candidates of a layer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmbmtas.errors import InputError

MAX_WAYS = 256
"""As many ways through a layer, or through the layers so far, are kept."""


def likeliest_paths(
    scores: ArrayLike, costs: ArrayLike, least: float, most: float
) -> NDArray[np.int64]:
    """Return the paths of greatest summed score whose nodes cost ``least`` to ``most``.

    A node that several domains pass costs once. If no paths cost that much, the likeliest of those
    whose cost is nearest are returned.

    Layers choose on their own, so dynamic programming finds the best way to each total cost. Within
    a layer it goes from domain to domain, and finds the best way to each set of nodes. That is
    exact as long as there are at most 256 sets, and 256 costs. Of more, the costs that occur are
    cut into 256 equal intervals, and the best way to each is kept, with its exact cost.

    Args:
        scores: How good it is that a domain passes a candidate, ``(L, D, C)``; minus infinity
            where a layer has no such candidate.
        costs: Cost of each candidate, ``(L, C)``, 0 or more.
        least: Least total cost.
        most: Greatest total cost.

    Returns:
        The candidate of each domain in each layer, ``(L, D)``.

    Raises:
        InputError: Shapes don't fit, a domain has no candidate in a layer, a score is no number,
            or a cost is negative or not finite.

    Example:
        >>> likeliest_paths([[[0.0, -1.0], [-3.0, 0.0]]], [[5.0, 5.0]], 0, 5)  # one node for both
        array([[1, 1]])
    """
    table, prices = np.asarray(scores, np.float64), np.asarray(costs, np.float64)
    if table.ndim != 3 or 0 in table.shape or prices.shape != (len(table), table.shape[2]):
        raise InputError(
            f'scores of shape {table.shape} and costs of shape {prices.shape}: expected '
            '(layers, domains, candidates) and (layers, candidates)'
        )
    if not np.isfinite(table.max(axis=2)).all():  # nan comes first in a maximum
        raise InputError('scores: expected numbers, and in each layer one above minus infinity')
    if not (np.isfinite(prices).all() and prices.min() >= 0):
        raise InputError('costs: expected finite numbers, 0 or more')
    layers = [_through_layer(*parts) for parts in zip(table, prices, strict=True)]
    found = _through_all(layers, least, most) or _through_all(layers, -np.inf, np.inf)
    assert found is not None
    off = np.maximum(np.maximum(least - found.costs, found.costs - most), 0)
    ways = found.choices[np.lexsort((-found.scores, off))[0]]
    return np.stack([layer.choices[way] for layer, way in zip(layers, ways, strict=True)])


@dataclass(frozen=True)
class _Ways:
    """Some ways to choose: what each costs and scores, and what it chooses, ``(n, choices)``."""

    costs: NDArray[np.float64]
    scores: NDArray[np.float64]
    choices: NDArray[np.int64]

    @classmethod
    def none_yet(cls) -> '_Ways':
        """The one way to choose nothing."""
        return cls(np.zeros(1), np.zeros(1), np.zeros((1, 0), np.int64))


def _through_layer(scores: NDArray, costs: NDArray) -> _Ways:
    """Find the best ways of all domains through a layer, one for each cost."""
    names = np.random.default_rng(0).integers(1, 1 << 62, len(costs))  # a set's is the xor of all
    passed, sets, ways = np.zeros((1, len(costs)), bool), np.zeros(1, np.int64), _Ways.none_yet()
    for row in scores:
        known = np.flatnonzero(row > -np.inf)
        before, candidate = np.repeat(np.arange(len(sets)), len(known)), np.tile(known, len(sets))
        new = ~passed[before, candidate]
        total = ways.costs[before] + costs[candidate] * new
        score = ways.scores[before] + row[candidate]
        reached = sets[before] ^ (names[candidate] * new)
        kept = _best_of_each(reached, score)
        kept = kept[_few(total[kept], score[kept])]
        before, candidate, sets = before[kept], candidate[kept], reached[kept]
        chosen = np.column_stack([ways.choices[before], candidate])
        ways = _Ways(total[kept], score[kept], chosen)
        passed = passed[before]
        passed[np.arange(len(kept)), candidate] = True
    kept = _best_of_each(ways.costs, ways.scores)
    return _Ways(ways.costs[kept], ways.scores[kept], ways.choices[kept])


def _through_all(layers: list[_Ways], least: float, most: float) -> _Ways | None:
    """Find the best ways through all layers, one for each cost; None if none is in between."""
    cheapest, dearest = (
        np.append(np.cumsum([pick(layer.costs) for layer in layers[::-1]])[::-1], 0)
        for pick in (np.min, np.max)
    )
    ways = _Ways.none_yet()
    for index, layer in enumerate(layers, start=1):
        total = np.add.outer(ways.costs, layer.costs).ravel()
        score = np.add.outer(ways.scores, layer.scores).ravel()
        fits = np.flatnonzero((total + cheapest[index] <= most) & (total + dearest[index] >= least))
        if len(fits) == 0:
            return None
        kept = fits[_best_of_each(total[fits], score[fits])]
        kept = kept[_few(total[kept], score[kept])]
        before, way = np.divmod(kept, len(layer.costs))
        ways = _Ways(total[kept], score[kept], np.column_stack([ways.choices[before], way]))
    return ways


def _few(costs: NDArray, scores: NDArray) -> NDArray[np.int64]:
    """Return the positions of all ways if they are few, else of the best in each part of costs."""
    if len(costs) <= MAX_WAYS:
        return np.arange(len(costs))
    low, high = costs.min(), costs.max()
    if low == high:
        return np.argsort(-scores, kind='stable')[:MAX_WAYS]
    return _best_of_each(np.floor((costs - low) / (high - low) * (MAX_WAYS - 1)), scores)


def _best_of_each(keys: NDArray, scores: NDArray) -> NDArray[np.int64]:
    """Return the positions of the best score of each key; on a tie the first."""
    order = np.lexsort((-scores, keys))
    ordered = keys[order]
    return order[np.append(True, ordered[1:] != ordered[:-1])]
