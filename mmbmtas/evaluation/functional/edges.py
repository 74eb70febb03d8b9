"""Edges, pixel by pixel: average precision without matching."""

import math

import numpy as np
from numpy.typing import NDArray

from mmbmtas.evaluation.functional.pooling import nan_with_warning
from mmbmtas.structures.tasks import IGNORE_INDEX

EDGE_BINS = 256


def quantise(probability: NDArray) -> NDArray[np.uint8]:
    """Turn probabilities in 0..1 into 8-bit values: times 255, cut to an integer."""
    return (np.clip(probability, 0, 1).astype(np.float32) * np.float32(255)).astype(np.uint8)


def edge_histogram(
    probability: NDArray, label: NDArray, ignore_index: int = IGNORE_INDEX
) -> NDArray[np.int64]:
    """Count an image's pixels by 8-bit prediction (:func:`quantise`).

    Args:
        probability: Edge probabilities in 0..1, any shape.
        label: 0, 1 or ``ignore_index``, of the same shape.
        ignore_index: Label of pixels to leave out.

    Returns:
        Counts ``(2, 256)``: non-edge and edge pixels, by prediction.
    """
    valid = label != ignore_index
    index = (label[valid] > 0).astype(np.int64) * EDGE_BINS + quantise(probability[valid])
    return np.bincount(index, minlength=2 * EDGE_BINS).reshape(2, EDGE_BINS)


def average_precision(histogram: NDArray[np.int64]) -> float:
    """Return the average precision in percent of all pixels of a split, without interpolation.

    It equals scikit-learn's ``average_precision_score`` of the 8-bit predictions. Pixels of one
    value enter together.

    Args:
        histogram: Sum over images of :func:`edge_histogram`, ``(2, 256)``.
    """
    negatives, positives = histogram[:, ::-1]
    if not positives.any():
        return nan_with_warning('average precision')
    hits, predicted = np.cumsum(positives), np.cumsum(positives + negatives)
    precision = hits / np.maximum(predicted, 1)
    return 100 * math.fsum(positives * precision) / int(hits[-1])
