"""All tasks together: the mean gain over single-task networks."""

import math
from collections.abc import Mapping

from mmbmtas.errors import InputError


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
