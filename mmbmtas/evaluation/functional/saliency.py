"""Saliency: Jaccard index and F measure over thresholds."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmbmtas.evaluation.functional.pooling import nan_with_warning
from mmbmtas.structures.tasks import IGNORE_INDEX

SALIENCY_THRESHOLDS: NDArray[np.float32] = (np.arange(1, 20) * 0.05).astype(np.float32)
"""0.05, 0.10, ..., 0.95. Per-image scores use those from 0.20 to 0.90."""
_PER_IMAGE = slice(3, 18)


def saliency_histogram(
    probability: NDArray, label: NDArray, ignore_index: int = IGNORE_INDEX
) -> NDArray[np.int64]:
    """Count an image's pixels by the number of the 19 thresholds that their probability exceeds.

    Thresholds are compared in single precision, strictly.

    Args:
        probability: Foreground probabilities in 0..1, any shape.
        label: 0, 1 or ``ignore_index``, of the same shape.
        ignore_index: Label of pixels to leave out.

    Returns:
        Counts ``(2, 20)``. The first axis is background and foreground, the second is the number of
        thresholds exceeded.
    """
    valid = label != ignore_index
    exceeded = np.searchsorted(SALIENCY_THRESHOLDS, probability[valid].astype(np.float32))
    bins = len(SALIENCY_THRESHOLDS) + 1
    index = (label[valid] > 0).astype(np.int64) * bins + exceeded
    return np.bincount(index, minlength=2 * bins).reshape(2, bins)


def saliency_scores(histograms: Sequence[NDArray[np.int64]]) -> dict[str, float]:
    """Score a split's saliency maps, in percent.

    Images without a valid pixel are left out.

    Args:
        histograms: :func:`saliency_histogram` of each image.

    Returns:
        ``maxIoU``: the mean foreground Jaccard index over the images, at the best of the thresholds
        0.20, 0.25, ..., 0.90; it is 1 for an image if both masks are empty. The other two are
        published variants of maxF, which do not compare with each other. ``maxF_image_mean`` takes
        mean precision and recall over images at the same thresholds, beta^2 = 1. ``maxF_pooled``
        takes the split's pixels at 0.05, 0.10, ..., 0.95, beta^2 = 0.3. In both, an empty
        denominator gives 0, as in the public implementations.
    """
    counted = [histogram for histogram in histograms if histogram.any()]
    if not counted:
        undefined = nan_with_warning('saliency')
        return dict.fromkeys(('maxIoU', 'maxF_image_mean', 'maxF_pooled'), undefined)
    hits, predicted, positive = _saliency_counts(np.stack(counted))
    pooled = _f_measure(
        _ratio(hits.sum(0), predicted.sum(0), 0), _ratio(hits.sum(0), positive.sum(0), 0), 0.3
    )
    hits, predicted = hits[:, _PER_IMAGE], predicted[:, _PER_IMAGE]
    jaccard = _exact_mean(_ratio(hits, predicted + positive - hits, 1))
    precision, recall = (_exact_mean(_ratio(hits, n, 0)) for n in (predicted, positive))
    return {
        'maxIoU': float(jaccard.max()) * 100,
        'maxF_image_mean': float(_f_measure(precision, recall, 1.0).max()) * 100,
        'maxF_pooled': float(pooled.max()) * 100,
    }


def _saliency_counts(histograms: NDArray[np.int64]) -> tuple[NDArray, NDArray, NDArray]:
    """Return true positives, predicted pixels (images, thresholds), and positives (images, 1)."""
    above = np.cumsum(histograms[..., ::-1], axis=-1)[..., -2::-1]
    return above[:, 1], above.sum(1), histograms[:, 1].sum(-1, keepdims=True)


def _ratio(part: NDArray, whole: NDArray, empty: float) -> NDArray[np.float64]:
    """Return the share of ``whole``, or ``empty`` where whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.full(part.shape, float(empty)), where=whole > 0)


def _exact_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the first axis, the same for any order."""
    return np.array([math.fsum(column) / len(column) for column in values.T])


def _f_measure(precision: NDArray, recall: NDArray, beta_squared: float) -> NDArray[np.float64]:
    weighted = beta_squared * precision + recall
    return np.divide(
        (1 + beta_squared) * precision * recall,
        weighted,
        out=np.zeros_like(weighted),
        where=weighted > 0,
    )
