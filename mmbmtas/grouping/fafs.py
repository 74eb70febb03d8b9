"""FAFS: group tasks greedily from the last layer to the first.

This follows Lu et al., *Fully-adaptive Feature Sharing in Multi-Task Networks* (CVPR 2017), which
the paper compares with (section 4.1, appendix B). Two tasks are alike if the same images are hard
for both. In docstrings, (verified) marks what public sources state, and (our choice) what none of
them states.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmbmtas.errors import InputError
from mmbmtas.grouping.trees import Tree
from mmbmtas.structures import TaskGrouping, all_groupings

MAX_ENUMERATED = 6


def difficulty_affinity(errors: ArrayLike) -> NDArray[np.float64]:
    """Return the share of images that are hard for both of two tasks, or easy for both.

    An image is hard for a task, ``e = 1``, if its error is at least the task's mean, and
    ``A_ij = mean_n[e_i e_j + (1 - e_i)(1 - e_j)]`` (verified). Means are over the images with a
    label of the task, or of both tasks (our choice).

    Args:
        errors: Error of each task on each image, ``(T, N)``; nan if the image has no label.

    Returns:
        ``(T, T)``, symmetric, 1 on the diagonal.

    Raises:
        ValueError: A task has no image, two tasks have none in common, or an error is infinite.
    """
    errors = np.asarray(errors, np.float64)
    if errors.ndim != 2 or not errors.size or np.isinf(errors).any():
        raise InputError(f'errors of shape {errors.shape}: expected finite or nan, (tasks, images)')
    labelled = ~np.isnan(errors)
    common = labelled.astype(np.int64) @ labelled.T
    if (common == 0).any():
        i, j = np.argwhere(common == 0)[0].tolist()
        what = f'task {i} has no' if i == j else f'tasks {i} and {j} have no common'
        raise InputError(f'{what} labelled image among {errors.shape[1]}: no affinity')
    mean = np.nansum(errors, axis=1, keepdims=True) / labelled.sum(axis=1, keepdims=True)
    hard = (labelled & (errors >= mean)).astype(np.int64)
    easy = labelled - hard
    return (hard @ hard.T + easy @ easy.T) / common


def branch_affinity(affinity: ArrayLike, branches: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Compute the affinity of branches from the affinity of their tasks.

    It is ``mean_{i in k} min_{j in l} A_ij``, averaged with the same from ``l`` to ``k``
    (verified). The diagonal follows the same formula: a branch of different tasks has an affinity
    below 1 to itself.

    Args:
        affinity: Affinity of tasks, ``(T, T)``.
        branches: Tasks of each branch.
    """
    affinity = np.asarray(affinity, np.float64)
    directed = np.array(
        [[affinity[np.ix_([*k], [*m])].min(axis=1).mean() for m in branches] for k in branches]
    )
    return (directed + directed.T) / 2


def separation_cost(affinity: NDArray, grouping: TaskGrouping) -> float:
    """Mean over the clusters ``g`` of ``1 - mean_{k in g} min_{l in g} A_b(k, l)`` (verified)."""
    costs = [1 - affinity[np.ix_(group, group)].min(axis=1).mean() for group in grouping.groups]
    return float(np.mean(costs))


def fafs_tree(affinity: ArrayLike, layer_madds: Sequence[int], alpha: float) -> Tree:
    """Group the branches of each layer, from the last to the first.

    Above the last layer every task is a branch of its own. Each layer clusters the branches above
    it, and the clusters become its branches. The best clustering has the least
    ``(d - 1) c_l + alpha * separation cost`` (verified), where ``d`` is the number of clusters and
    ``c_l`` the layer's share of the encoder's MAdds (our choice). On a tie fewer clusters win (our
    choice). For up to 6 branches all partitions are tried. For more, spectral clustering proposes
    one clustering for each ``d``.

    Args:
        affinity: Affinity of tasks, ``(T, T)``, see :func:`difficulty_affinity`.
        layer_madds: Multiply-adds of one copy of each layer.
        alpha: Weight of the separation cost. Larger values part tasks earlier.

    Raises:
        ValueError: The affinity is not a square of numbers from 0 to 1, alpha is negative, or there
            are more than 6 tasks and scikit-learn is not installed.
    """
    affinity = np.asarray(affinity, np.float64)
    square = affinity.ndim == 2 and affinity.shape[0] == affinity.shape[1] > 0
    if not square or not ((affinity >= 0) & (affinity <= 1)).all() or not alpha >= 0:
        raise InputError(
            f'affinity of shape {affinity.shape} with alpha = {alpha}: expected a square of '
            'numbers from 0 to 1 and an alpha of at least 0'
        )
    shares = np.asarray(layer_madds, np.float64) / np.sum(layer_madds)
    branches: tuple[tuple[int, ...], ...] = tuple((task,) for task in range(len(affinity)))
    tree = []
    for share in shares[::-1]:
        between = branch_affinity(affinity, branches)
        chosen = min(
            _candidates(between),
            key=lambda clusters: (  # rounded: equal costs must tie whatever the order of sums
                round(
                    (clusters.num_groups - 1) * share + alpha * separation_cost(between, clusters),
                    12,
                ),
                clusters.num_groups,
            ),
        )
        branches = TaskGrouping(
            tuple(tuple(task for b in group for task in branches[b]) for group in chosen.groups)
        ).groups
        tree.append(TaskGrouping(branches))
    return tuple(reversed(tree))


def _candidates(affinity: NDArray) -> list[TaskGrouping]:
    """List the ways to cluster branches: all of few branches, else one for each number."""
    count = len(affinity)
    if count <= MAX_ENUMERATED:
        return list(all_groupings(count))
    clustered = [_spectral(affinity, clusters) for clusters in range(2, count)]
    return [TaskGrouping.shared(count), *clustered, TaskGrouping.all_apart(count)]


def _spectral(affinity: NDArray, clusters: int) -> TaskGrouping:
    """Cluster branches with scikit-learn; the result is the same every time."""
    try:
        from sklearn.cluster import SpectralClustering
    except ImportError as error:
        raise InputError(
            f'clustering {len(affinity)} branches (more than {MAX_ENUMERATED}) needs scikit-learn, '
            'which is not installed: pip install mmbmtas[grouping]'
        ) from error
    method = SpectralClustering(
        clusters, affinity='precomputed', assign_labels='cluster_qr', random_state=0
    )
    return TaskGrouping.from_labels(method.fit_predict(affinity).tolist())
