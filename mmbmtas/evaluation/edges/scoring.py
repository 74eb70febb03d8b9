"""Boundary F-measure: counts of each image at every threshold, then ODS, OIS and AP of a split.

The protocols are those of two public benchmarks. They differ in which pixels count as predicted and
in the scores of empty maps (:data:`Rule`). Where their descriptions are silent, the docstrings say
what is done here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.evaluation.edges.matching import (
    GrowingMatching,
    assign,
    matching_size,
    pairs_within,
)
from mmbmtas.evaluation.edges.nms import suppress_non_maxima
from mmbmtas.evaluation.functional import nan_with_warning
from mmbmtas.structures.boundaries import label_boundaries, thin
from mmbmtas.structures.values import require_positive

THRESHOLDS = tuple(step / 100 for step in range(1, 100))

Rule = Literal['seism', 'bsds']
"""Rules in which the two benchmarks differ:

=====================  =================================  ==============================
                       ``seism`` (PASCAL, NYUD)           ``bsds`` (BSDS500)
=====================  =================================  ==============================
a pixel is predicted   above the threshold                at the threshold or above
nothing predicted      precision 1, recall 0              precision 0
no true pixel          recall 1, precision 0, so F is 0   recall 0
=====================  =================================  ==============================
"""


@dataclass(frozen=True)
class EdgeProtocol:
    """A protocol for scoring boundaries.

    Attributes:
        max_dist: Tolerance as a share of the image's diagonal.
        nms: Whether predictions go through non-maximum suppression.
        thresholds: Increasing, in 0..1.
        rule: Rules for pixels at a threshold and for empty maps.
    """

    max_dist: float
    nms: bool = True
    thresholds: tuple[float, ...] = THRESHOLDS
    rule: Rule = 'seism'


MAX_DIST = {'pascal': 0.0075, 'nyud': 0.011, 'bsds': 0.0075}
"""The tolerance each data set is scored with, as a share of the image's diagonal."""


def protocol_of(
    dataset: str,
    nms: bool = True,
    max_dist: float | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> EdgeProtocol:
    """Return the protocol for scoring a data set.

    Args:
        dataset: ``pascal``, ``nyud`` or ``bsds``.
        nms: See :class:`EdgeProtocol`.
        max_dist: Tolerance, above 0; the default is the data set's.
        thresholds: See :class:`EdgeProtocol`.

    Raises:
        InputError: The data set is unknown, or a number is out of range.
    """
    if dataset not in MAX_DIST:
        raise InputError(f'dataset {dataset!r} of the edge protocol: expected one of {[*MAX_DIST]}')
    if max_dist is None:
        max_dist = MAX_DIST[dataset]
    require_positive('max_dist of the edge protocol', max_dist, most=1)
    listed = tuple(thresholds)
    if not listed or any(not 0 <= t <= 1 for t in listed) or [*listed] != sorted({*listed}):
        raise InputError(
            f'thresholds {thresholds} of the edge protocol: expected increasing numbers in 0..1'
        )
    return EdgeProtocol(max_dist, nms, listed, 'bsds' if dataset == 'bsds' else 'seism')


def evaluation_truth(label_map: NDArray) -> NDArray[np.bool_]:
    """Make the thin boundaries that predictions are scored against.

    Args:
        label_map: ``(H, W)``: PASCAL-Context's ``LabelMap``, or NYUD-v2's 0/1 edge image. Both go
            through the same two steps.
    """
    return thin(label_boundaries(label_map))


def count_matches(
    prediction: NDArray[np.uint8], truths: Sequence[NDArray], protocol: EdgeProtocol
) -> NDArray[np.int64]:
    """Count matched boundary pixels of one image at every threshold.

    With one truth, matched pixels are those of a maximum bipartite matching. With several truths
    (BSDS500), each is assigned on its own. A predicted pixel counts once for any number of truths
    that it matches; true pixels are summed.

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
    exceeds = np.greater_equal if protocol.rule == 'bsds' else np.greater
    maps = thin(exceeds(edges, thresholds[:, None, None]))
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


def precision_recall(
    counts: NDArray[np.int64], rule: Rule = 'seism'
) -> tuple[NDArray, NDArray, NDArray]:
    """Return precision, recall and F of counts ``(..., 4)``; if the first two are 0, F is 0.

    ``rule`` gives the scores if no pixel is predicted or none is true. If both are the case, the
    rule for no true pixel applies.
    """
    true_matched, true_pixels, matched, predicted = np.moveaxis(counts, -1, 0)
    recall = true_matched / np.maximum(true_pixels, 1)
    precision = matched / np.maximum(predicted, 1)
    if rule == 'seism':
        recall = np.where(true_pixels > 0, recall, 1.0)
        precision = np.where((true_pixels > 0) & (predicted == 0), 1.0, precision)
    total = precision + recall
    f_measure = 2 * precision * recall / np.where(total > 0, total, 1)
    return precision, recall, f_measure


def edge_scores(
    counts: Sequence[NDArray[np.int64]],
    thresholds: Sequence[float] = THRESHOLDS,
    rule: Rule = 'seism',
) -> dict[str, float]:
    """Pool the images of a split.

    Args:
        counts: :func:`count_matches` of each image, in any order.
        thresholds: Thresholds of the counts.
        rule: See :func:`precision_recall`.

    Returns:
        ``odsF``, ``OIS`` and ``AP`` in percent, and ``ods_threshold`` in 0..1. ``odsF`` is the best
        F of the pooled counts at one threshold for all images. ``OIS`` is the F of the counts
        pooled at each image's own best threshold (the lowest on a tie). ``AP`` is that of BSDS500's
        benchmark: 0.01 times the sum of the precision over recall 0, 0.01, ..., 1. The precision
        is interpolated linearly between the recalls that occur. It is 0 outside them, that of the
        lowest threshold if one recall occurs twice, and 0 if only one recall occurs.
    """
    if not counts:
        return dict.fromkeys(('odsF', 'OIS', 'AP', 'ods_threshold'), nan_with_warning('odsF'))
    images = np.stack(counts)
    precision, recall, f_measure = precision_recall(images.sum(axis=0), rule)
    best = int(f_measure.argmax())
    own_best = precision_recall(images, rule)[2].argmax(axis=1)
    ois = precision_recall(images[np.arange(len(images)), own_best].sum(axis=0), rule)[2]
    recalls, first = np.unique(recall, return_index=True)
    curve = np.interp(np.arange(101) / 100, recalls, precision[first], left=0, right=0)
    return {
        'odsF': 100 * float(f_measure[best]),
        'OIS': 100 * float(ois),
        'AP': float(curve.sum()) if len(recalls) > 1 else 0.0,
        'ods_threshold': float(thresholds[best]),
    }
