"""Accuracy of a class for each image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.evaluation.metrics.base import TaskMetric, to_numpy
from mmbmtas.registry import METRICS


@METRICS.register_module()
class Accuracy(TaskMetric):
    """Share of the images whose most probable class is the label: ``<task>/top1`` in percent.

    Args:
        task: See :class:`TaskMetric`; there is no default.
        **kwargs: ``collect_device``, ``collect_dir``.
    """

    headline_name = 'top1'

    def _score_sample(self, sample: dict) -> Any:
        label = to_numpy(sample[f'gt_{self.task}']['label'])
        try:
            return self.score_image(self._predicted_class(sample), label, sample)
        except InputError as error:
            raise InputError(
                f'{self.task} of image {sample.get("img_path", "(no img_path)")}: {error}'
            ) from error

    def _predicted_class(self, sample: dict) -> NDArray:
        """Return the predicted class ``(1,)``, whose scores must be finite."""
        if f'pred_{self.task}' not in sample:
            raise InputError('it has a label but no prediction')
        prediction = sample[f'pred_{self.task}']
        scores = to_numpy(prediction.get('score', []))
        if not np.isfinite(scores).all():
            raise InputError(
                f'the scores of {np.count_nonzero(~np.isfinite(scores))} classes are not finite'
            )
        return to_numpy(prediction['label'])

    def score_image(self, prediction: NDArray, label: NDArray, sample: dict) -> tuple[int, int]:
        """Return the predicted class and the label."""
        return int(prediction.item()), int(label.item())

    def pool_images(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """Return ``top1`` in percent."""
        right = [predicted == label for predicted, label in results]
        return {'top1': 100 * float(np.mean(right)) if right else float('nan')}
