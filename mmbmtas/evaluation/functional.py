"""The metrics as plain functions on numpy arrays: counts of one image, then the score of a split.

Every metric has two steps. The first turns one image into counts or sums (small arrays, integers
wherever possible). The second pools those of all images. Pooling adds integers, or floats with
:func:`math.fsum`. To the last digit, a score therefore does not depend on the order of the images
or on the number of processes.

A score over nothing (no valid pixel, or no positive pixel for average precision) is ``nan``, with a
``RuntimeWarning``.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.structures.tasks import IGNORE_INDEX

SALIENCY_THRESHOLDS: NDArray[np.float32] = (np.arange(1, 20) * 0.05).astype(np.float32)
"""0.05, 0.10, ..., 0.95. Per-image scores use those from 0.20 to 0.90."""
_PER_IMAGE = slice(3, 18)
EDGE_BINS = 256
ANGLE_BIN = 0.05
"""Width in degrees of the angle histogram's bins; the median is exact to half of it."""
ANGLE_SHARES = (11.25, 22.5, 30.0)
MIN_DEPTH = 1e-3
"""Metres. Predictions below it are raised to it in ratios and logarithms, never in the RMSE."""


def nan_with_warning(what: str) -> float:
    """Return ``nan`` and say in a ``RuntimeWarning`` that ``what`` is not defined."""
    warnings.warn(f'{what} is undefined here: nothing to score', RuntimeWarning, stacklevel=3)
    return math.nan


# --- Class maps ---------------------------------------------------------------------------------


def confusion_matrix(
    prediction: NDArray, label: NDArray, num_classes: int, ignore_index: int = IGNORE_INDEX
) -> NDArray[np.int64]:
    """Count the pixels of each pair of true and predicted class.

    Args:
        prediction: Class indices, any shape.
        label: Class indices of the same shape; pixels of ``ignore_index`` are left out.
        num_classes: Number of classes ``C``.
        ignore_index: Label of pixels to leave out.

    Returns:
        Counts ``(C, C)``, rows are true classes.

    Raises:
        ValueError: A valid pixel has a class outside ``0 .. C - 1``.
    """
    valid = label != ignore_index
    truth, predicted = label[valid].astype(np.int64), prediction[valid].astype(np.int64)
    for name, classes in (('label', truth), ('prediction', predicted)):
        if classes.size and not 0 <= classes.min() <= classes.max() < num_classes:
            raise InputError(
                f'the {name} has classes {classes.min()}..{classes.max()}, '
                f'expected 0..{num_classes - 1}'
            )
    counts = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def class_iou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the intersection over union of each class in percent.

    Args:
        confusion: Counts ``(C, C)`` over the split.

    Returns:
        ``(C,)``; ``nan`` for a class in neither truth nor prediction.
    """
    intersection = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - intersection
    return np.divide(100.0 * intersection, union, out=np.full(len(union), np.nan), where=union > 0)


def mean_iou(confusion: NDArray[np.int64]) -> float:
    """Return the mean of :func:`class_iou` in percent over the classes that occur."""
    iou = class_iou(confusion)
    present = iou[~np.isnan(iou)]
    return math.fsum(present) / len(present) if len(present) else nan_with_warning('mIoU')


# --- Saliency -----------------------------------------------------------------------------------


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


# --- Edges, pixel by pixel ------------------------------------------------------------------------


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


# --- Surface normals ------------------------------------------------------------------------------


@dataclass(frozen=True)
class ErrorSums:
    """One image's errors, summed.

    Attributes:
        pixels: Valid pixels.
        sums: Sums over them, as the function that made it describes.
        histogram: Counts of the errors in bins, or empty.
    """

    pixels: int
    sums: NDArray[np.float64]
    histogram: NDArray[np.uint32]


def normal_angles(prediction: NDArray, label: NDArray) -> NDArray[np.float64]:
    """Return angles in degrees between predicted and true normals on the valid pixels.

    Both are normalised first. The angle is ``2 atan2(|p - g|, |p + g|)``, which is also accurate
    near 0 and 180 degrees. A zero prediction counts as 90 degrees.

    Args:
        prediction: ``(3, H, W)``.
        label: ``(3, H, W)``; a pixel with the zero vector is left out.

    Returns:
        Angles in 0..180, one per valid pixel.
    """
    valid = label.any(axis=0)
    p, g = (unit_vectors(field[:, valid]) for field in (prediction, label))
    difference, total = (np.linalg.norm(v, axis=0) for v in (p - g, p + g))
    return np.degrees(2 * np.arctan2(difference, total))


def unit_vectors(field: NDArray) -> NDArray[np.float64]:
    """Normalise vectors along the first axis; zero vectors stay zero."""
    field = field.astype(np.float64)
    length = np.linalg.norm(field, axis=0)
    return field / np.where(length > 0, length, 1)


def normal_errors(prediction: NDArray, label: NDArray) -> ErrorSums:
    """Sum one image's angles.

    Args:
        prediction: ``(3, H, W)``.
        label: ``(3, H, W)``; zero vectors are left out.

    Returns:
        Sums of angle, squared angle, and of pixels under 11.25, 22.5 and 30 degrees; a histogram
        in bins of 0.05 degrees (14 kB per image).
    """
    angles = normal_angles(prediction, label)
    sums = [angles.sum(), np.square(angles).sum(), *((angles < a).sum() for a in ANGLE_SHARES)]
    bins = round(180 / ANGLE_BIN)
    index = np.minimum((angles / ANGLE_BIN).astype(np.int64), bins - 1)
    histogram = np.bincount(index, minlength=bins).astype(np.uint32)
    return ErrorSums(angles.size, np.array(sums, dtype=np.float64), histogram)


def normal_scores(errors: Sequence[ErrorSums]) -> dict[str, float]:
    """Pool the angles of a split's valid pixels.

    Args:
        errors: :func:`normal_errors` of each image.

    Returns:
        ``mean``, ``median`` (to 0.025) and ``rmse`` in degrees; ``within_11.25``, ``within_22.5``
        and ``within_30`` in percent.
    """
    pixels, sums = _pool(errors, 5)
    names = ['mean', 'median', 'rmse', *(f'within_{angle:g}' for angle in ANGLE_SHARES)]
    if pixels == 0:
        return dict.fromkeys(names, nan_with_warning('normals'))
    cumulative = np.cumsum(np.sum([e.histogram for e in errors], axis=0, dtype=np.int64))
    median = (np.searchsorted(cumulative, pixels / 2) + 0.5) * ANGLE_BIN
    mean, square, *shares = (total / pixels for total in sums)
    values = [mean, float(median), math.sqrt(square), *(100 * share for share in shares)]
    return dict(zip(names, values, strict=True))


def _pool(errors: Sequence[ErrorSums], count: int) -> tuple[int, list[float]]:
    """Return valid pixels and sums over the images, the same for any order."""
    sums = [math.fsum(error.sums[i] for error in errors) for i in range(count)]
    return sum(error.pixels for error in errors), sums


# --- Depth ----------------------------------------------------------------------------------------


def depth_errors(prediction: NDArray, label: NDArray, ignore: float | None = 0.0) -> ErrorSums:
    """Sum one image's errors in depth or in another map of values.

    Args:
        prediction: Metres, any shape.
        label: Metres, of the same shape.
        ignore: Label of pixels to leave out, or None. NaN is always left out.

    Returns:
        The sum of the squared error, and the number of pixels whose truth is above 0. Over these
        pixels, the sums of the relative error and of the squared error of the natural logarithm,
        and the numbers of pixels whose ratio to the truth (or its inverse) is below 1.25, 1.25^2
        and 1.25^3.
    """
    valid = ~np.isnan(label) & (True if ignore is None else label != ignore)
    p, g = prediction[valid].astype(np.float64), label[valid].astype(np.float64)
    pixels, square = g.size, np.square(p - g).sum()
    p, g = p[g > 0], g[g > 0]
    positive = np.maximum(p, MIN_DEPTH)
    ratio = np.maximum(positive / g, g / positive)
    sums = [
        square,
        g.size,
        (np.abs(p - g) / g).sum(),
        np.square(np.log(positive / g)).sum(),
        *((ratio < 1.25**k).sum() for k in (1, 2, 3)),
    ]
    return ErrorSums(pixels, np.array(sums, dtype=np.float64), np.zeros(0, np.uint32))


def depth_scores(errors: Sequence[ErrorSums]) -> dict[str, float]:
    """Pool the depth errors of a split's valid pixels.

    Args:
        errors: :func:`depth_errors` of each image.

    Returns:
        ``rmse`` in metres, ``abs_rel`` and ``log_rmse`` without unit, ``delta1``, ``delta2`` and
        ``delta3`` in percent. All but ``rmse`` are of the pixels whose truth is above 0.
    """
    pixels, sums = _pool(errors, 7)
    names = ['rmse', 'abs_rel', 'log_rmse', 'delta1', 'delta2', 'delta3']
    if pixels == 0:
        return dict.fromkeys(names, nan_with_warning('depth'))
    square, positive, *ratios = sums
    rmse = math.sqrt(square / pixels)
    if positive == 0:
        return dict.fromkeys(names, nan_with_warning('depth ratio')) | {'rmse': rmse}
    relative, log_square, *deltas = (total / positive for total in ratios)
    values = [rmse, relative, math.sqrt(log_square), *(100 * d for d in deltas)]
    return dict(zip(names, values, strict=True))


# --- All tasks together ---------------------------------------------------------------------------


def delta_m(
    values: Mapping[str, float],
    baseline: Mapping[str, float],
    lower_is_better: Mapping[str, bool],
) -> float:
    """Return the average relative gain over single-task networks in percent (paper, Eq. 7).

    Args:
        values: The multi-task model's score of each metric.
        baseline: The single-task networks' score of (at least) the same metrics.
        lower_is_better: Direction of (at least) the same metrics.

    Raises:
        ValueError: There is no metric, or the baseline has none or 0 for one of them.

    Example:
        >>> delta_m({'semseg/mIoU': 66.0}, {'semseg/mIoU': 60.0}, {'semseg/mIoU': False})
        10.0
    """
    unusable = [key for key in values if not baseline.get(key)]
    if unusable or not values:
        raise InputError(
            f'Delta_m needs a non-zero single-task result of each of {sorted(values)}; '
            f'missing or 0: {unusable}; the baseline has {sorted(baseline)}'
        )
    gains = (
        (-1 if lower_is_better[key] else 1) * (value - baseline[key]) / baseline[key]
        for key, value in values.items()
    )
    return 100 * math.fsum(gains) / len(values)
