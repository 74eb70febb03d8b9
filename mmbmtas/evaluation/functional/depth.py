"""Depth, and other maps of values: absolute and relative errors."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmbmtas.evaluation.functional.pooling import ErrorSums, nan_with_warning, pool_errors

MIN_DEPTH = 1e-3
"""Metres. Predictions below it are raised to it in ratios and logarithms, never in the RMSE."""


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
    pixels, sums = pool_errors(errors, 7)
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
