"""Base of the task metrics: it reads each sample, and a class declares how to read its scores."""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from mmbmtas.errors import InputError


@dataclass(frozen=True)
class HeadlineMetric:
    """The number that represents a task in tables and in Delta_m.

    Attributes:
        key: Name in the results, ``<task>/<metric>``.
        lower_is_better: Direction.
        unit: Text printed after a value, such as ``%`` or ``m``; empty for a plain number.
        digits: Digits after the point in tables.
    """

    key: str
    lower_is_better: bool
    unit: str
    digits: int = 2

    def format(self, value: float) -> str:
        """Write a value with its unit."""
        gap = ' ' * self.unit[:1].isalpha()
        return f'{value:.{self.digits}f}{gap}{self.unit}'


class TaskMetric(BaseMetric):
    """A metric of one task, scored image by image.

    A subclass declares once what its headline number is (``headline_name``) and how to read it
    (``lower_is_better``, ``unit``, ``digits``; see :class:`HeadlineMetric`). It turns an image into
    counts in :meth:`score_image` and pools them in :meth:`pool_images`. Images without a label of
    the task are left out. Every image adds exactly one entry to ``results``: a list with its
    counts, or an empty list. mmengine drops entries that are None, and then finds the samples that
    a rank was padded with by their position.

    Args:
        task: Task whose ``gt_<task>`` and ``pred_<task>`` are read; also the prefix of the results.
            The default is the class's own task.
        collect_device: ``cpu`` or ``gpu``, where ranks exchange results.
        collect_dir: With ``cpu``, a directory for the exchange that all ranks share.
    """

    default_task: ClassVar[str]
    headline_name: ClassVar[str]
    lower_is_better: ClassVar[bool] = False
    unit: ClassVar[str] = '%'
    digits: ClassVar[int] = 2

    def __init__(
        self,
        task: str | None = None,
        collect_device: str = 'cpu',
        collect_dir: str | None = None,
    ) -> None:
        if not (task or hasattr(self, 'default_task')):
            raise InputError(f'{type(self).__name__} has no default task: name one with task=...')
        self.task = task or self.default_task
        super().__init__(collect_device, prefix=self.task, collect_dir=collect_dir)

    @property
    def headline(self) -> HeadlineMetric:
        """The headline number of this metric for its task, in the unit of its labels."""
        return replace(self.headline_of(self.task), unit=self.unit)

    @property
    def names(self) -> list[str]:
        """Names of the scores in the results of an evaluation."""
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of means of nothing
            return [f'{self.task}/{name}' for name in self.pool_images([])]

    @classmethod
    def headline_of(cls, task: str | None = None) -> HeadlineMetric:
        """Return this class's headline number for a task (default: the class's own task).

        Raises:
            InputError: The class does not declare ``headline_name``.
        """
        if not hasattr(cls, 'headline_name'):
            raise InputError(
                f'the metric {cls.__name__} declares no headline_name, the name of the number that '
                'represents its task'
            )
        key = f'{task or cls.default_task}/{cls.headline_name}'
        return HeadlineMetric(key, cls.lower_is_better, cls.unit, cls.digits)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Score each sample of a batch on its own.

        Args:
            data_batch: Not used.
            data_samples: Samples as dicts, see ``MultiTaskDataSample``.

        Raises:
            ValueError: A labelled sample has no prediction, or its prediction has another size than
                the label or values that are not finite. The message names the image.
        """
        for sample in data_samples:
            has_label = f'gt_{self.task}' in sample
            self.results.append([self._score_sample(sample)] if has_label else [])

    def _score_sample(self, sample: dict) -> Any:
        try:
            label = to_numpy(sample[f'gt_{self.task}']['data'])
            return self.score_image(self._checked_prediction(sample, label.shape), label, sample)
        except InputError as error:
            raise InputError(
                f'{self.task} of image {sample.get("img_path", "(no img_path)")}: {error}'
            ) from error

    def _checked_prediction(self, sample: dict, shape: tuple[int, ...]) -> NDArray:
        if f'pred_{self.task}' not in sample:
            raise InputError('it has a label but no prediction')
        prediction = to_numpy(sample[f'pred_{self.task}']['data'])
        if prediction.shape != shape:
            raise InputError(f'the prediction is {prediction.shape}, the label {shape}')
        if not np.isfinite(prediction).all():
            bad = np.count_nonzero(~np.isfinite(prediction))
            raise InputError(f'{bad} of {prediction.size} predicted values are not finite')
        return prediction

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Pool the images that had a label."""
        return self.pool_images(list(chain.from_iterable(results)))

    @abstractmethod
    def score_image(self, prediction: NDArray, label: NDArray, sample: dict) -> Any:
        """Turn one image into small counts or sums.

        Args:
            prediction: ``(channels, H, W)``, finite.
            label: ``(channels, H, W)``.
            sample: The whole sample, for further fields.
        """

    @abstractmethod
    def pool_images(self, results: list) -> dict[str, float]:
        """Turn counts of images, in any order, into scores; the names do not depend on them."""


def to_numpy(data: Any) -> NDArray:
    """Turn a tensor or an array into an array on the CPU; bfloat16 is widened."""
    if hasattr(data, 'detach'):
        data = data.detach().cpu()
        data = (data.float() if data.is_floating_point() else data).numpy()
    return np.asarray(data)
