"""Saliency, and edges pixel by pixel."""

import numpy as np
from numpy.typing import NDArray

from mmbmtas.evaluation import functional
from mmbmtas.evaluation.metrics.base import TaskMetric
from mmbmtas.registry import METRICS


@METRICS.register_module()
class SaliencyMetric(TaskMetric):
    """Saliency at the best threshold: ``saliency/maxIoU``, and both published variants of maxF.

    :func:`mmbmtas.evaluation.functional.saliency_scores` defines them.
    """

    default_task = 'saliency'
    headline_name = 'maxIoU'

    def score_image(self, prediction: NDArray, label: NDArray, sample: dict) -> NDArray[np.int64]:
        """Make the histogram of one image over the thresholds."""
        return functional.saliency_histogram(prediction, label)

    def pool_images(self, results: list[NDArray[np.int64]]) -> dict[str, float]:
        """Return ``maxIoU``, ``maxF_image_mean`` and ``maxF_pooled`` in percent."""
        return functional.saliency_scores(results)


@METRICS.register_module()
class EdgePixelMetric(TaskMetric):
    """Average precision over all valid pixels of the split: ``edge/pixel_AP``.

    This is a quick number for following a training. The usual metric is :class:`OdsF`, which
    tolerates small shifts. Predictions are cut to 8 bits, so the pooled ranking is exact.
    """

    default_task = 'edge'
    headline_name = 'pixel_AP'

    def score_image(self, prediction: NDArray, label: NDArray, sample: dict) -> NDArray[np.int64]:
        """Make the histogram of one image's 8-bit predictions."""
        return functional.edge_histogram(prediction, label)

    def pool_images(self, results: list[NDArray[np.int64]]) -> dict[str, float]:
        """Return ``pixel_AP`` in percent."""
        empty = np.zeros((2, functional.EDGE_BINS), dtype=np.int64)
        return {'pixel_AP': functional.average_precision(sum(results, start=empty))}
