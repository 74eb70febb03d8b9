"""Boundary F-measure: one image's counts at every threshold, then ODS, OIS and AP of a split.

The protocol is SEISM's and BSDS500's; where its description is silent, the functions say what is
done here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbmtas.evaluation.edges.boundaries import label_boundaries, thin
from mmbmtas.evaluation.edges.matching import (
    GrowingMatching,
    assign,
    matching_size,
    pairs_within,
)
from mmbmtas.evaluation.edges.nms import suppress_non_maxima
from mmbmtas.evaluation.functional import nan_with_warning

THRESHOLDS = tuple(step / 100 for step in range(1, 100))


@dataclass(frozen=True)
class EdgeProtocol:
    """How boundaries are scored.

    Attributes:
        max_dist: Tolerance as a share of the image's diagonal.
        nms: Whether predictions go through non-maximum suppression.
        thresholds: Increasing, in 0..1; a pixel is predicted where its value is greater.
    """

    max_dist: float
    nms: bool = True
    thresholds: tuple[float, ...] = THRESHOLDS


MAX_DIST = {'pascal': 0.0075, 'nyud': 0.011, 'bsds': 0.0075}
"""The tolerance each data set is scored with, as a share of the image's diagonal."""


def evaluation_truth(label_map: NDArray) -> NDArray[np.bool_]:
    """The thin boundaries predictions are scored against.

    Args:
        label_map: ``(H, W)``: PASCAL-Context's ``LabelMap``, or NYUD-v2's 0/1 edge image, which
            goes through the same two steps.
    """
    return thin(label_boundaries(label_map))


def count_matches(
    prediction: NDArray[np.uint8], truths: Sequence[NDArray], protocol: EdgeProtocol
) -> NDArray[np.int64]:
    """Counts matched boundary pixels of one image at every threshold.

    With one truth, matched pixels are those of a maximum bipartite matching. With several
    (BSDS500), each truth is assigned on its own; a predicted pixel counts once however many truths
    it matches, true pixels are summed.

    Args:
        prediction: 8-bit edge map ``(H, W)``; 255 is 1.
        truths: Thin boundary maps ``(H, W)``, at least one.
        protocol: Tolerance, suppression and thresholds.

    Returns:
        ``(thresholds, 4)``: true pixels matched, true pixels, predicted pixels matched, predicted
        pixels.
    """
    edges = prediction / 255
    if protocol.nms:
        edges = suppress_non_maxima(edges)
    thresholds = np.asarray(protocol.thresholds)
    maps = thin(edges > thresholds[:, None, None])
    candidates = np.asarray(maps.any(axis=0))
    tolerance = protocol.max_dist * float(np.hypot(*prediction.shape))
    pairs = [pairs_within(candidates, truth, tolerance) for truth in truths]
    marked = maps[:, candidates]
    counts = np.zeros((len(thresholds), 4), dtype=np.int64)
    counts[:, 1] = sum(np.count_nonzero(truth) for truth in truths)
    counts[:, 3] = marked.sum(axis=1)
    if len(truths) == 1 and protocol.nms:
        matching = GrowingMatching(pairs[0])
        for row in reversed(range(len(thresholds))):
            counts[row, [0, 2]] = matching.update(marked[row])
        return counts
    for row, chosen in enumerate(marked):
        if row and np.array_equal(chosen, marked[row - 1]):
            counts[row] = counts[row - 1]
        elif len(truths) == 1:
            counts[row, [0, 2]] = matching_size(pairs[0][chosen])
        else:
            matched = np.stack([assign(pair[chosen], tolerance) for pair in pairs])
            counts[row, [0, 2]] = matched.sum(), matched.any(axis=0).sum()
    return counts


def precision_recall(counts: NDArray[np.int64]) -> tuple[NDArray, NDArray, NDArray]:
    """Precision, recall and F of counts ``(..., 4)``.

    Nothing predicted: precision 1; no truth: recall 1; both 0: F = 0. (Neither predicted nor
    true pixels: F = 1, our choice where the protocol is silent.)
    """
    true_matched, true_pixels, matched, predicted = np.moveaxis(counts, -1, 0)
    recall = np.where(true_pixels > 0, true_matched / np.maximum(true_pixels, 1), 1.0)
    precision = np.where(predicted > 0, matched / np.maximum(predicted, 1), 1.0)
    total = precision + recall
    f_measure = 2 * precision * recall / np.where(total > 0, total, 1)
    return precision, recall, f_measure


def edge_scores(
    counts: Sequence[NDArray[np.int64]], thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, float]:
    """Pools the images of a split.

    Args:
        counts: :func:`count_matches` of each image, in any order.
        thresholds: Those the counts were taken at.

    Returns:
        In percent: ``odsF``, best F of the pooled counts at one threshold for all images; ``OIS``,
        F of the counts pooled at each image's own best threshold (the lowest on a tie); ``AP``,
        as BSDS500's benchmark has it: 0.01 times the sum over recall 0, 0.01, ..., 1 of precision,
        interpolated linearly between the recalls that occur (0 outside them, the lowest
        threshold's where one recall occurs twice). And ``ods_threshold``, 0..1.
    """
    if not counts:
        return dict.fromkeys(('odsF', 'OIS', 'AP', 'ods_threshold'), nan_with_warning('odsF'))
    images = np.stack(counts)
    precision, recall, f_measure = precision_recall(images.sum(axis=0))
    best = int(f_measure.argmax())
    own_best = precision_recall(images)[2].argmax(axis=1)
    ois = precision_recall(images[np.arange(len(images)), own_best].sum(axis=0))[2]
    recalls, first = np.unique(recall, return_index=True)
    curve = np.interp(np.arange(101) / 100, recalls, precision[first], left=0, right=0)
    return {
        'odsF': 100 * float(f_measure[best]),
        'OIS': 100 * float(ois),
        'AP': float(curve.sum()),
        'ods_threshold': float(thresholds[best]),
    }
