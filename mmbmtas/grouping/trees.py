"""Count branched trees, compute their costs, and draw one at random.

A tree is a chain of groupings, one per layer, each a refinement of the one before (paper, section
3.1). Its cost depends only on the numbers of groups. These numbers are its *profile*, which never
falls from layer to layer. Read from the leaves to the stem, a tree with the profile ``k_1 .. k_L``
puts ``T`` tasks into ``k_L`` groups, these into ``k_(L-1)`` groups, and so on. Each step has
``S(n, k)`` ways (Stirling numbers of the second kind), independently of the others. Trees are
therefore counted without listing them, and drawn uniformly step by step.
"""

import math
from collections.abc import Sequence
from functools import cache
from itertools import chain, combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.structures import TaskGrouping

Tree = tuple[TaskGrouping, ...]
"""The grouping of every layer, first layer first."""

MAX_PROFILES = 5_000_000


@cache
def stirling(items: int, blocks: int) -> int:
    """Count the partitions of a set of ``items`` into ``blocks`` non-empty blocks.

    Example:
        >>> [stirling(4, blocks) for blocks in range(1, 5)]
        [1, 7, 6, 1]
    """
    if blocks == 0 or items == 0:
        return int(items == blocks)
    return stirling(items - 1, blocks - 1) + blocks * stirling(items - 1, blocks)


def count_trees(num_tasks: int, num_layers: int) -> int:
    """Count all trees of an encoder.

    Example:
        >>> count_trees(5, 18), count_trees(4, 17)
        (904894, 16695)

    Raises:
        ValueError: There is no task or no layer.
    """
    _check_size(num_tasks, num_layers)
    ways = {num_tasks: 1}
    for _ in range(num_layers):
        ways = {
            blocks: sum(n * stirling(items, blocks) for items, n in ways.items())
            for blocks in range(1, num_tasks + 1)
        }
    return sum(ways.values())


def tree_madds(tree: Sequence[TaskGrouping], layer_madds: Sequence[int]) -> int:
    """Sum the multiply-adds of all copies of all layers.

    Raises:
        ValueError: The number of costs is not the number of layers.
    """
    if len(tree) != len(layer_madds):
        raise InputError(f'{len(tree)} layers in the tree, {len(layer_madds)} costs')
    return sum(g.num_groups * c for g, c in zip(tree, layer_madds, strict=True))


def profiles(num_tasks: int, layer_madds: Sequence[int]) -> tuple[NDArray, NDArray]:
    """List all profiles and the costs of their trees.

    Returns:
        Group counts ``(N, L)`` (int8) and multiply-adds of the encoder's layers ``(N,)`` (int64).

    Raises:
        ValueError: There is no task or layer, or there are more than 5 million profiles.
    """
    num_layers = len(layer_madds)
    _check_size(num_tasks, num_layers)
    count = math.comb(num_layers + num_tasks - 1, num_tasks - 1)
    if count > MAX_PROFILES:
        raise InputError(
            f'{num_tasks} tasks in {num_layers} layers have {count:,} profiles, too many to list '
            f'(at most {MAX_PROFILES:,})'
        )
    # The layer at which the number of groups first exceeds 1, 2, ..., T - 1; L is never.
    steps = combinations_with_replacement(range(num_layers + 1), num_tasks - 1)
    first = np.fromiter(chain.from_iterable(steps), np.int16, count * (num_tasks - 1))
    first = first.reshape(count, num_tasks - 1)
    counts = np.ones((count, num_layers), np.int8)
    for step in first.T:
        counts += step[:, None] <= np.arange(num_layers)
    return counts, counts @ np.asarray(layer_madds, np.int64)


def profile_sizes(num_tasks: int, counts: NDArray) -> NDArray:
    """Count the trees of each profile.

    Args:
        num_tasks: Number of tasks ``T``.
        counts: Profiles ``(N, L)``.

    Returns:
        Python integers ``(N,)``, which never overflow.
    """
    table = np.array(
        [[stirling(n, k) for k in range(num_tasks + 1)] for n in range(num_tasks + 1)], object
    )
    sizes = table[num_tasks, counts[:, -1]]
    for layer in range(counts.shape[1] - 1):
        changed = np.flatnonzero(counts[:, layer] != counts[:, layer + 1])
        sizes[changed] *= table[counts[changed, layer + 1], counts[changed, layer]]
    return sizes


def random_partition(items: int, blocks: int, rng: np.random.Generator) -> list[int]:
    """Draw a partition uniformly; return the block of each item.

    The draw follows the recursion of :func:`stirling`, from the last item down. An item is a block
    of its own, or joins one of the blocks of the items before it.
    """
    labels = [0] * items
    for item in reversed(range(items)):
        # The items 0 .. item are still to be put into `blocks` blocks.
        alone = random_below(stirling(item + 1, blocks), rng) < stirling(item, blocks - 1)
        blocks -= alone
        labels[item] = blocks if alone else int(rng.integers(blocks))
    return labels


def random_with_profile(counts: Sequence[int], num_tasks: int, rng: np.random.Generator) -> Tree:
    """Draw uniformly among the trees with a profile."""
    labels = list(range(num_tasks))
    groups, tree = num_tasks, []
    for count in reversed([int(count) for count in counts]):
        if count != groups:
            merged = random_partition(groups, count, rng)
            labels, groups = [merged[label] for label in labels], count
        tree.append(TaskGrouping.from_labels(labels))
    return tuple(reversed(tree))


def random_below(bound: int, rng: np.random.Generator) -> int:
    """Draw an integer from ``0 .. bound - 1`` uniformly, for a bound of any size."""
    size = (bound.bit_length() + 7) // 8
    limit = (1 << 8 * size) // bound * bound
    while (value := int.from_bytes(rng.bytes(size), 'little')) >= limit:
        pass
    return value % bound


def _check_size(num_tasks: int, num_layers: int) -> None:
    if num_tasks < 1 or num_layers < 1:
        raise InputError(
            f'{num_tasks} tasks and {num_layers} layers: expected at least one of each'
        )
