"""Surface normals: angles between predicted and true ones."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmbmtas.evaluation.functional.pooling import ErrorSums, nan_with_warning, pool_errors

ANGLE_BIN = 0.05
"""Width in degrees of the angle histogram's bins; the median is exact to half of it."""
ANGLE_SHARES = (11.25, 22.5, 30.0)


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
    pixels, sums = pool_errors(errors, 5)
    names = ['mean', 'median', 'rmse', *(f'within_{angle:g}' for angle in ANGLE_SHARES)]
    if pixels == 0:
        return dict.fromkeys(names, nan_with_warning('normals'))
    cumulative = np.cumsum(np.sum([e.histogram for e in errors], axis=0, dtype=np.int64))
    median = (np.searchsorted(cumulative, pixels / 2) + 0.5) * ANGLE_BIN
    mean, square, *shares = (total / pixels for total in sums)
    values = [mean, float(median), math.sqrt(square), *(100 * share for share in shares)]
    return dict(zip(names, values, strict=True))
