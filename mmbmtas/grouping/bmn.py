"""BMN: group tasks whose single-task networks rate images as similar.

This follows Vandenhende et al., *Branched Multi-Task Networks* (BMVC 2020), which the paper
compares with (section 4.1, appendix B). In docstrings, (verified) marks what public sources state,
and (our choice) what none of them states.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmbmtas.errors import InputError
from mmbmtas.structures import all_groupings

MIN_IMAGES = 50
"""Fewer images don't say enough about how networks tell images apart."""


def dissimilarity(features: ArrayLike) -> NDArray[np.float64]:
    """Return how differently one network sees images: 1 - Pearson correlation (verified).

    Args:
        features: Output of a layer for each image, ``(K, ...)``. An image whose features are all
            equal correlates with no other (our choice).

    Returns:
        ``(K, K)``, symmetric, 0 on the diagonal, at most 2.

    Raises:
        ValueError: The features are not finite.
    """
    values = np.asarray(features)
    values = values.reshape(len(values), -1).astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError('features hold numbers that are not finite: has the training diverged?')
    spread = np.ptp(values, axis=1, keepdims=True)
    values = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    values = np.divide(values, length, out=np.zeros_like(values), where=(spread > 0) & (length > 0))
    result = 1 - np.clip(values @ values.T, -1, 1)
    np.fill_diagonal(result, 0)
    return result


def rsa_affinity(dissimilarities: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Return the affinity of tasks at one layer: how similarly their networks distinguish images.

    It is Spearman's correlation of the strict upper triangles of two tasks' matrices (verified). A
    network that tells no images apart has affinity 0 to all others (our choice).

    Args:
        dissimilarities: :func:`dissimilarity` for each task's network, ``(K, K)`` each, on the
            same images in the same order.

    Returns:
        ``(T, T)`` in -1 .. 1, symmetric, 1 on the diagonal.

    Raises:
        ValueError: There are fewer than 3 images, or the numbers of images differ.
    """
    from scipy.stats import rankdata

    matrices = [np.asarray(matrix, np.float64) for matrix in dissimilarities]
    shapes = sorted({matrix.shape for matrix in matrices})
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][0] != shapes[0][1] or shapes[0][0] < 3:
        raise InputError(
            f'matrices of shapes {shapes}: expected square matrices of the same 3 or more images'
        )
    upper = np.triu_indices(shapes[0][0], 1)
    # Rounded, so that pairs of images that are alike to the last digit have the same rank.
    ranks = np.stack([rankdata(np.round(matrix[upper], 12)) for matrix in matrices])
    affinity = 1 - dissimilarity(ranks)
    np.fill_diagonal(affinity, 1)
    return affinity


def distances(affinities: ArrayLike) -> NDArray[np.float64]:
    """Return ``1 - affinity`` of tasks in each layer, ``(L, T, T)``, 0 on the diagonal.

    Raises:
        InputError: The affinities have another shape, are not finite or are not symmetric.
    """
    values = np.asarray(affinities, np.float64)
    if values.ndim != 3 or values.shape[1] != values.shape[2] or 0 in values.shape:
        raise InputError(f'affinities of shape {values.shape}: expected (layers, tasks, tasks)')
    if not np.isfinite(values).all() or not np.allclose(values, values.transpose(0, 2, 1)):
        raise InputError('affinities must be finite and symmetric')
    apart = 1 - values
    diagonal = np.arange(values.shape[1])
    apart[:, diagonal, diagonal] = 0
    return apart


def grouping_costs(affinities: ArrayLike) -> NDArray[np.float64]:
    """Compute the cost of every grouping in every layer.

    A cluster costs the largest ``1 - affinity`` within it, or 0 if it has one task. A grouping
    costs the mean over its clusters (verified). A tree's cost is the sum over its layers, see
    :func:`~mmbmtas.grouping.least_cost.least_cost_tree`.

    Args:
        affinities: Affinities of tasks in each layer, ``(L, T, T)``.

    Returns:
        ``(L, Bell(T))``, groupings in the order of :func:`~mmbmtas.structures.all_groupings`.

    Raises:
        ValueError: The affinities have another shape, are not finite or are not symmetric.
    """
    apart = distances(affinities)
    columns = []
    for grouping in all_groupings(apart.shape[1]):
        largest = [apart[:, group][:, :, group].max(axis=(1, 2)) for group in grouping.groups]
        columns.append(np.mean(largest, axis=0))
    return np.stack(columns, axis=1)
