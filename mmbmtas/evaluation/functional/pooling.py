"""What the functional metrics share: sums of one image, and scores of nothing."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


def pool_errors(errors: Sequence[ErrorSums], count: int) -> tuple[int, list[float]]:
    """Return the valid pixels and the first ``count`` sums of a split, the same for any order."""
    sums = [math.fsum(error.sums[i] for error in errors) for i in range(count)]
    return sum(error.pixels for error in errors), sums


def nan_with_warning(what: str) -> float:
    """Return ``nan`` and say in a ``RuntimeWarning`` that ``what`` is not defined."""
    warnings.warn(f'{what} is undefined here: nothing to score', RuntimeWarning, stacklevel=3)
    return math.nan
