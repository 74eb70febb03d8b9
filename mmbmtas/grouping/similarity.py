"""Similarity of tasks: how well the features of one predict those of another, layer by layer.

This is our method, not the paper's. BMN (Vandenhende et al., BMVC 2020) also compares what tasks
compute; it asks whether two networks find the same images alike. Here a linear map, the same at
each pixel, turns one task's features into another's. If it can, both can use one copy of the layer.
"""

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmbmtas.errors import InputError
from mmbmtas.grouping.bmn import distances
from mmbmtas.grouping.least_cost import least_cost_tree
from mmbmtas.grouping.trees import Tree
from mmbmtas.structures import all_groupings
from mmbmtas.structures.values import require_number

_RIDGE = 1e-6
"""Share of the mean variance added to each feature's variance, as features may be dependent."""


class FeatureMoments:
    """Running sums over pixels, from which the similarity of tasks at one layer follows.

    Args:
        num_tasks: Number of tasks ``T``.
        num_features: Channels ``C`` of the layer.
    """

    def __init__(self, num_tasks: int, num_features: int) -> None:
        size = num_tasks * num_features
        self.num_tasks = num_tasks
        self.count = 0
        self.total = np.zeros(size)
        self.products = np.zeros((size, size))

    def add(self, features: Sequence[ArrayLike]) -> None:
        """Add pixels, given by the features ``(n, C)`` of each task in order."""
        values = np.concatenate([np.asarray(task, np.float64) for task in features], axis=1)
        self.count += len(values)
        self.total += values.sum(axis=0)
        self.products += values.T @ values

    def similarity(self) -> NDArray[np.float64]:
        """Compute the similarity of all pairs of tasks.

        ``s_ij = (R2(i -> j) + R2(j -> i)) / 2``, where ``R2(i -> j)`` is the share of the variance
        of task j's features, pooled over channels, that the best linear map of task i's explains.
        It is adjusted for the number of pixels, since even noise explains a share of ``C / n`` of
        ``n`` pixels. Permuting, rotating, or jointly scaling the channels of a task does not change
        it. Constant features are explained by any others.

        Returns:
            ``(T, T)`` in 0 .. 1, symmetric, 1 on the diagonal.

        Raises:
            InputError: Some features are not finite, or there are too few pixels: at least two
                more than channels are needed.
        """
        size = len(self.total) // self.num_tasks
        if 0 < self.count < size + 2:
            raise InputError(
                f'features of {self.count} pixels cannot tell whether {size} channels predict '
                f'others: expected at least {size + 2} pixels'
            )
        if not self.count or not np.isfinite(self.products).all():
            raise InputError(
                f'features of {self.count} pixels: expected finite features of at least one pixel; '
                'has the training diverged?'
            )
        mean = self.total / self.count
        covariance = self.products / self.count - np.outer(mean, mean)
        # blocks[i, :, j]: covariance of task i's features with task j's
        blocks = covariance.reshape(self.num_tasks, size, self.num_tasks, size)
        variances = np.einsum('icic->i', blocks)
        floor = np.finfo(float).eps * np.trace(self.products) / self.count  # of rounding
        explained = np.ones((self.num_tasks, self.num_tasks))
        for i, j in permutations(range(self.num_tasks), 2):
            if variances[i] <= floor or variances[j] <= floor:
                explained[i, j] = float(variances[j] <= floor)
                continue
            within = blocks[i, :, i] + _RIDGE * variances[i] / size * np.eye(size)
            across = blocks[i, :, j]
            share = np.sum(across * np.linalg.solve(within, across)) / variances[j]
            explained[i, j] = 1 - (1 - share) * (self.count - 1) / (self.count - size - 1)
        return np.clip((explained + explained.T) / 2, 0, 1)


def scatter_costs(similarities: ArrayLike) -> NDArray[np.float64]:
    """Compute the cost of each grouping in each layer: the scatter of features within groups.

    ``sum over groups g of sum over pairs i < j of g of (1 - s_ij) / |g|``. With ``1 - s_ij`` as a
    squared distance, this is the objective of k-means: the squared distances of the members from
    their group's mean. So it measures the loss if each group has only one copy of the layer.

    Args:
        similarities: Similarities of tasks in each layer, ``(L, T, T)`` in 0 .. 1.

    Returns:
        ``(L, Bell(T))``, groupings in the order of :func:`~mmbmtas.structures.all_groupings`; for
        :func:`~mmbmtas.grouping.least_cost_tree`.

    Raises:
        InputError: The similarities have another shape, or are not finite and symmetric.

    Example:
        >>> scatter_costs([[[1, 0.5], [0.5, 1]]]).tolist()  # both apart, both together
        [[0.25, 0.0]]
    """
    apart = distances(similarities)
    columns = [
        sum(apart[:, group][:, :, group].sum(axis=(1, 2)) / (2 * len(group)) for group in g.groups)
        for g in all_groupings(apart.shape[1])
    ]
    return np.stack(columns, axis=1)


def most_similar_tree(
    similarities: ArrayLike,
    layer_madds: Sequence[int],
    fixed_madds: int = 0,
    cap: float | None = None,
    weight: float = 1.0,
) -> Tree:
    """Choose the best of all trees by the scatter of features within groups.

    With a cap, it is the tree of least scatter among those that cost no more. Without one, it is
    the tree that minimises ``scatter / scatter of the shared tree + weight * share``, where
    ``share`` is 0 for the cost of the shared tree and 1 for that of all apart. So weights do not
    depend on the size of the network: with 1, sharing all and sharing nothing are equally good. A
    larger weight never gives a more expensive tree.

    Args:
        similarities: Similarities of tasks in each layer, ``(L, T, T)`` in 0 .. 1.
        layer_madds: Multiply-adds of one copy of each layer.
        fixed_madds: Multiply-adds that every tree has: stem and decoders.
        cap: Multiply-adds that the network may take.
        weight: Weight of the cost without a cap.

    Raises:
        InputError: The similarities are of another shape or not valid, the weight is negative or
            not finite, or no tree is below the cap.
    """
    require_number('weight of the multiply-adds', weight, least=0)
    costs = scatter_costs(similarities)
    if cap is None:
        groupings = [*all_groupings(np.shape(similarities)[-1])]
        copies = np.array([grouping.num_groups - 1 for grouping in groupings])
        scatter = costs[:, copies == 0].sum()
        costs = costs / (scatter or 1.0)
        costs += weight * np.outer(layer_madds, copies) / (sum(layer_madds) * max(copies.max(), 1))
    return least_cost_tree(costs, layer_madds, math.inf if cap is None else cap, fixed_madds)
