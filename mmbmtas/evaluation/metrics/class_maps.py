"""Mean IoU of semantic segmentation and human parts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbmtas.evaluation import functional
from mmbmtas.evaluation.metrics.base import TaskMetric
from mmbmtas.registry import METRICS


@METRICS.register_module()
class SemSegMetric(TaskMetric):
    """Mean intersection over union from one confusion matrix over the split: ``<task>/mIoU``.

    A class that occurs in neither labels nor predictions is left out of the mean.

    Args:
        num_classes: Number of classes; 21 on PASCAL-Context, 40 on NYUD-v2.
        task: See :class:`TaskMetric`.
        **kwargs: ``collect_device``, ``collect_dir``.
    """

    default_task = 'semseg'
    headline_name = 'mIoU'

    def __init__(self, num_classes: int, task: str | None = None, **kwargs: Any) -> None:
        super().__init__(task, **kwargs)
        self.num_classes = num_classes

    def score_image(self, prediction: NDArray, label: NDArray, sample: dict) -> NDArray[np.int64]:
        """Make the confusion matrix of one image."""
        return functional.confusion_matrix(prediction, label, self.num_classes)

    def pool_images(self, results: list[NDArray[np.int64]]) -> dict[str, float]:
        """Return ``mIoU`` in percent."""
        empty = np.zeros((self.num_classes, self.num_classes), dtype=np.int64)
        return {'mIoU': functional.mean_iou(sum(results, start=empty))}


@METRICS.register_module()
class HumanPartsMetric(SemSegMetric):
    """:class:`SemSegMetric` for background and the 6 body parts: ``human_parts/mIoU``."""

    default_task = 'human_parts'

    def __init__(self, num_classes: int = 7, task: str | None = None, **kwargs: Any) -> None:
        super().__init__(num_classes, task, **kwargs)
