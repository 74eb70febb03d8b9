"""Find the best of all trees below a cap on multiply-adds, exactly."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.grouping.trees import Tree
from mmbmtas.structures import TaskGrouping, all_groupings

MAX_TASKS = 8
UNIT = 1e-12
"""Costs are rounded to multiples of it, so that equal sums compare equal in any order."""

# The best ways to reach a grouping: columns are multiply-adds, cost in units, the grouping of the
# layer before and the way's row there.
_Front = NDArray[np.int64]


def least_cost_tree(
    costs: NDArray, layer_madds: Sequence[int], cap: float, fixed_madds: int = 0
) -> Tree:
    """Find the tree of least summed cost among **all** trees below a cap.

    On a tie the tree with fewer MAdds wins. The search is dynamic programming over the refinements,
    from the first layer to the last. For each grouping of a layer it keeps only the ways to reach
    it that no other way beats in both MAdds and cost. No other way can be part of the optimum. All
    904,894 trees of 5 tasks and 18 layers take less than a second.

    Args:
        costs: Cost of each grouping in each layer, ``(L, Bell(T))``, groupings in the order of
            :func:`~mmbmtas.structures.all_groupings`.
        layer_madds: Multiply-adds of one copy of each layer.
        cap: Most multiply-adds of the whole network.
        fixed_madds: Multiply-adds of what every tree has once: stem and decoders.

    Raises:
        ValueError: Even the tree that shares all layers exceeds the cap, the costs have another
            shape, or there are more than 8 tasks.
    """
    groupings = _groupings_of(costs, len(layer_madds))
    room, shared = cap - fixed_madds, sum(layer_madds)
    if shared > room:
        raise InputError(
            f'a cap of {cap:,.0f} MAdds is out of reach: the tree that shares all layers takes '
            f'{shared + fixed_madds:,}'
        )
    units = np.rint(np.asarray(costs, np.float64) / UNIT).astype(np.int64)
    coarser = _merges(groupings)
    sizes = np.array([grouping.num_groups for grouping in groupings])
    # Staying with a grouping is the cheapest way to the end.
    rest = np.append(np.cumsum(np.asarray(layer_madds, np.int64)[::-1])[::-1], 0)
    layers: list[list[_Front]] = []
    for layer, madds in enumerate(layer_madds):
        before = _arrivals(layers[-1], coarser) if layers else [_START] * len(groupings)
        layers.append([])
        for index, front in enumerate(before):
            step = np.array([sizes[index] * madds, units[layer, index], 0, 0])
            front = front + step
            fits = front[:, 0] + sizes[index] * rest[layer + 1] <= room
            layers[-1].append(front[fits])
    return _trace_back(layers, groupings)


_START: _Front = np.array([[0, 0, -1, -1]])


def _groupings_of(costs: NDArray, num_layers: int) -> list[TaskGrouping]:
    """List the groupings that the costs are of, by their number."""
    costs = np.asarray(costs)
    if costs.ndim == 2 and costs.shape[0] == num_layers and np.isfinite(costs).all():
        for num_tasks in range(1, MAX_TASKS + 1):
            groupings = list(all_groupings(num_tasks))
            if len(groupings) == costs.shape[1]:
                return groupings
    raise InputError(
        f'costs of shape {costs.shape}: expected finite numbers ({num_layers} layers, groupings of '
        f'at most {MAX_TASKS} tasks: 1, 2, 5, 15, 52, 203, 877, 4,140)'
    )


def _merges(groupings: Sequence[TaskGrouping]) -> list[list[int]]:
    """For each grouping, the positions of those in which two of its groups are one."""
    position = {grouping: index for index, grouping in enumerate(groupings)}
    return [
        [
            position[TaskGrouping((*(g for g in grouping.groups if g not in pair), sum(pair, ())))]
            for pair in combinations(grouping.groups, 2)
        ]
        for grouping in groupings
    ]


def _arrivals(layer: Sequence[_Front], coarser: Sequence[Sequence[int]]) -> list[_Front]:
    """Let every grouping be reached from itself and from all it refines.

    One merge at a time, coarse to fine, reaches all of them: what a grouping has been reached by is
    handed on to its refinements.
    """
    results: list[_Front] = [_START] * len(layer)
    for index in sorted(range(len(layer)), key=lambda index: len(coarser[index])):
        own = layer[index].copy()
        own[:, 2], own[:, 3] = index, np.arange(len(own))
        results[index] = _pareto(np.concatenate([own, *(results[i] for i in coarser[index])]))
    return results


def _pareto(ways: _Front) -> _Front:
    """Keep the ways that no other is at least as good as in both; ties to the first listed."""
    ways = ways[np.lexsort((ways[:, 1], ways[:, 0]))]
    least = np.minimum.accumulate(ways[:, 1])
    better = np.append(True, ways[1:, 1] < least[:-1])[: len(ways)]
    return ways[better]


def _trace_back(layers: Sequence[Sequence[_Front]], groupings: Sequence[TaskGrouping]) -> Tree:
    """Follow the best way from the last layer to the first."""
    ends = [
        (cost, madds, index, row)
        for index, front in enumerate(layers[-1])
        for row, (madds, cost, _, _) in enumerate(front.tolist())
    ]
    _, _, index, row = min(ends)
    tree = []
    for fronts in reversed(layers):
        tree.append(groupings[index])
        index, row = fronts[index][row, 2:].tolist()
    return tuple(reversed(tree))
