"""Surface normals and depth."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbmtas.evaluation import functional
from mmbmtas.evaluation.metrics.base import TaskMetric
from mmbmtas.registry import METRICS
from mmbmtas.structures.values import require_number


@METRICS.register_module()
class NormalsMetric(TaskMetric):
    """Angle to the true surface normal over all valid pixels: ``normals/mean`` and others.

    See :func:`mmbmtas.evaluation.functional.normal_scores` for names and units.
    """

    default_task = 'normals'
    headline_name = 'mean'
    lower_is_better = True
    unit = '°'

    def score_image(
        self, prediction: NDArray, label: NDArray, sample: dict
    ) -> functional.ErrorSums:
        """Return sums and histogram of one image's angles."""
        return functional.normal_errors(prediction, label)

    def pool_images(self, results: list[functional.ErrorSums]) -> dict[str, float]:
        """Return ``mean``, ``median`` and ``rmse`` in degrees, shares in percent."""
        return functional.normal_scores(results)


@METRICS.register_module()
class DepthMetric(TaskMetric):
    """Depth error over all valid pixels: ``depth/rmse`` in metres and others.

    See :func:`mmbmtas.evaluation.functional.depth_scores` for names and units.

    Args:
        task: See :class:`TaskMetric`.
        ignore: Label of an unknown value, as in ``DepthL1Loss``: 0, another number, or None. NaN
            is always left out.
        **kwargs: ``collect_device``, ``collect_dir``.
    """

    default_task = 'depth'
    headline_name = 'rmse'
    lower_is_better = True
    unit = 'm'
    digits = 4

    def __init__(self, task: str | None = None, ignore: float | None = 0.0, **kwargs: Any) -> None:
        super().__init__(task, **kwargs)
        self.ignore = None if ignore is None else require_number('ignore of DepthMetric', ignore)

    def score_image(
        self, prediction: NDArray, label: NDArray, sample: dict
    ) -> functional.ErrorSums:
        """Return sums of one image's errors."""
        return functional.depth_errors(prediction, label, self.ignore)

    def pool_images(self, results: list[functional.ErrorSums]) -> dict[str, float]:
        """Return ``rmse`` in metres, ``abs_rel``, ``log_rmse``, and ``delta1..3`` in percent."""
        return functional.depth_scores(results)


@METRICS.register_module()
class ValueMetric(TaskMetric):
    """Error of a map of values over all valid pixels: ``<task>/mae`` and ``<task>/rmse``.

    It is for tasks of your own. Both numbers are in the unit of the labels. ``rmse`` is the root of
    the mean squared error.

    Args:
        task: The task; there is no default.
        ignore: The label that stands for an unknown value: a number, or None (default) for none.
            NaN is always left out.
        unit: Unit of the labels, for tables.
        **kwargs: ``collect_device``, ``collect_dir``.
    """

    headline_name = 'mae'
    lower_is_better = True
    unit = ''
    digits = 4

    def __init__(
        self, task: str, ignore: float | None = None, unit: str = '', **kwargs: Any
    ) -> None:
        super().__init__(task, **kwargs)
        self.unit = unit  # type: ignore[misc]
        self.ignore = None if ignore is None else require_number('ignore of ValueMetric', ignore)

    def score_image(
        self, prediction: NDArray, label: NDArray, sample: dict
    ) -> tuple[int, float, float]:
        """Count one image's valid pixels, and sum their absolute and squared errors."""
        valid = ~np.isnan(label)
        if self.ignore is not None:
            valid &= label != self.ignore
        error = np.abs(prediction.astype(np.float64) - label)[valid]
        return int(valid.sum()), float(error.sum()), float((error**2).sum())

    def pool_images(self, results: list[tuple[int, float, float]]) -> dict[str, float]:
        """Return ``mae`` and ``rmse``; NaN without a valid pixel."""
        count, absolute, squared = np.sum(results, axis=0) if results else (0, 0.0, 0.0)
        if not count:
            return {'mae': float('nan'), 'rmse': float('nan')}
        return {'mae': float(absolute / count), 'rmse': float(np.sqrt(squared / count))}
