"""Choose trees without training: at random, with one branching point, or permuted."""

from collections.abc import Sequence

import numpy as np

from mmbmtas.errors import InputError
from mmbmtas.grouping.trees import (
    Tree,
    profile_sizes,
    profiles,
    random_below,
    random_with_profile,
    tree_madds,
)
from mmbmtas.structures import TaskGrouping

_PATIENCE = 10_000


def random_trees(
    num_tasks: int,
    layer_madds: Sequence[int],
    budget: float,
    tolerance: float = 0.02,
    number: int = 1,
    seed: int = 0,
    fixed_madds: int = 0,
) -> list[Tree]:
    """Draw different trees, uniformly among all trees whose cost is close to a budget.

    The draw is exactly uniform: it draws a profile, weighted by the number of its trees, and then a
    tree with this profile. If this tree was drawn before, it draws again.

    Args:
        num_tasks: Number of tasks ``T``.
        layer_madds: Multiply-adds of one copy of each layer.
        budget: Multiply-adds of the whole network.
        tolerance: Largest distance from the budget, as a share of the budget (our choice).
        number: Number of trees.
        seed: Seed of the drawing.
        fixed_madds: Multiply-adds of what every tree has once: stem and decoders.

    Raises:
        ValueError: Fewer trees than asked for lie within the tolerance.
    """
    if not 0 <= tolerance < 1 or number < 1:
        raise InputError(
            f'tolerance {tolerance} and number {number}: expected a tolerance from 0 to 1 and a '
            'number of at least 1'
        )
    counts, madds = profiles(num_tasks, layer_madds)
    madds = madds + fixed_madds
    near = np.abs(madds - budget) <= tolerance * budget
    sizes = profile_sizes(num_tasks, counts[near])
    total = int(sizes.sum()) if len(sizes) else 0
    if total < number:
        raise InputError(
            f'{total} trees lie within {tolerance:.1%} of {budget:,.0f} MAdds, but {number} were '
            f'requested: trees cost {madds.min():,} to {madds.max():,} MAdds, the one closest to '
            f'the budget {madds[np.abs(madds - budget).argmin()]:,}'
        )
    ends = np.cumsum(sizes)
    rng = np.random.default_rng(seed)
    trees: dict[Tree, None] = {}
    while len(trees) < number:
        profile = int((ends <= random_below(total, rng)).sum())
        trees[random_with_profile(counts[near][profile], num_tasks, rng)] = None
    return [*trees]


def vanilla_tree(
    num_tasks: int, layer_madds: Sequence[int], budget: float, fixed_madds: int = 0
) -> Tree:
    """Share the first layers and none after them, as close to a budget as possible.

    Of two equally close trees the cheaper one is taken (our choice). Sharing all layers and sharing
    none are possible results too.

    Args:
        num_tasks: Number of tasks.
        layer_madds: Multiply-adds of one copy of each layer.
        budget: Multiply-adds of the whole network, for example those of the tree to compare with.
        fixed_madds: Multiply-adds of what every tree has once: stem and decoders.

    Raises:
        ValueError: The budget is below the cost of sharing all layers, or above the cost of sharing
            none.
    """
    num_layers = len(layer_madds)
    shared, apart = TaskGrouping.shared(num_tasks), TaskGrouping.all_apart(num_tasks)
    trees = [(shared,) * n + (apart,) * (num_layers - n) for n in range(num_layers, -1, -1)]
    madds = [fixed_madds + tree_madds(tree, layer_madds) for tree in trees]
    if not madds[0] <= budget <= madds[-1]:
        raise InputError(
            f'the budget of {budget:,.0f} MAdds is out of reach: all layers shared take '
            f'{madds[0]:,}, none shared {madds[-1]:,}'
        )
    return trees[min(range(len(trees)), key=lambda index: abs(madds[index] - budget))]


def permuted_trees(tree: Sequence[TaskGrouping], number: int = 5, seed: int = 0) -> list[Tree]:
    """Exchange the tasks at the leaves of a tree at random.

    The results differ from the tree and from one another, and each such tree is equally likely.
    (Our choice: a permutation within a group would train the same network again.)

    Args:
        tree: Grouping of each layer.
        number: Number of trees; the paper takes five.
        seed: Seed of the drawing.

    Raises:
        ValueError: The tree has fewer different permutations than asked for.
    """
    rng = np.random.default_rng(seed)
    found: dict[Tree, None] = {tuple(tree): None}
    orders: set[tuple[int, ...]] = set()
    for _ in range(_PATIENCE):
        if len(found) > number:
            break
        order = tuple(rng.permutation(tree[0].num_tasks).tolist())
        if order not in orders:
            orders.add(order)
            found[tuple(grouping.restricted_to(order) for grouping in tree)] = None
    _, *others = found
    if len(others) < number:
        raise InputError(
            f'the tree has {len(others)} other permutations of its tasks, but {number} were '
            'requested'
        )
    return others
