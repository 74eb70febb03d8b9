"""Surface normals and depth."""

from numpy.typing import NDArray

from mmbmtas.evaluation import functional
from mmbmtas.evaluation.metrics.base import TaskMetric
from mmbmtas.registry import METRICS


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
        """Sums and histogram of one image's angles."""
        return functional.normal_errors(prediction, label)

    def pool_images(self, results: list[functional.ErrorSums]) -> dict[str, float]:
        """``mean``, ``median``, ``rmse`` in degrees, shares in percent."""
        return functional.normal_scores(results)


@METRICS.register_module()
class DepthMetric(TaskMetric):
    """Depth error over all valid pixels: ``depth/rmse`` in metres and others.

    See :func:`mmbmtas.evaluation.functional.depth_scores` for names and units.
    """

    default_task = 'depth'
    headline_name = 'rmse'
    lower_is_better = True
    unit = 'm'
    digits = 4

    def score_image(
        self, prediction: NDArray, label: NDArray, sample: dict
    ) -> functional.ErrorSums:
        """Sums of one image's errors."""
        return functional.depth_errors(prediction, label)

    def pool_images(self, results: list[functional.ErrorSums]) -> dict[str, float]:
        """``rmse`` in metres, ``abs_rel``, ``log_rmse``, ``delta1..3`` in percent."""
        return functional.depth_scores(results)
