"""The baseline that a network must beat: a constant prediction, taken from training labels."""

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import LabelData, PixelData
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.evaluation.functional import unit_vectors
from mmbmtas.structures.data_sample import MultiTaskDataSample
from mmbmtas.structures.tasks import IGNORE_INDEX, Task, label_task


class ConstantBaseline:
    """Gather training labels and predict one constant per task.

    For class maps and labels of images the constant is the most frequent class (the smallest on a
    tie), for normals the mean direction, for depth and other float maps the mean over valid pixels,
    and for edges and other binary maps the share of positives. For saliency it is foreground
    everywhere: the share of positives would score 0 if it is below the lowest threshold.

    Example:
        >>> from mmengine.structures import PixelData
        >>> sample = MultiTaskDataSample(gt_depth=PixelData(data=torch.full((1, 2, 2), 3.0)))
        >>> baseline = ConstantBaseline()
        >>> baseline.add(sample)
        >>> baseline.constant('depth')
        array([3.])
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._counts: dict[str, Counter[int]] = {}
        self._sums: dict[str, list[NDArray[np.float64]]] = {}

    def add(self, sample: MultiTaskDataSample) -> None:
        """Count the labels of one training sample."""
        for key, field in sample.items():
            if not key.startswith('gt_'):
                continue
            task, label = key.removeprefix('gt_'), _array(field)
            found = label_task(task, label.dtype.kind == 'f', sample.metainfo.get('task_kinds'))
            if self._tasks.setdefault(task, found).kind in ('classes', 'binary', 'label'):
                values, counts = np.unique(label[label != IGNORE_INDEX], return_counts=True)
                counter = self._counts.setdefault(task, Counter())
                counter.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            else:
                self._sums.setdefault(task, []).append(_sums(label, found))

    def constant(self, task: str) -> NDArray[np.float64]:
        """Return the constant of a task, one value per channel.

        Raises:
            ValueError: No valid pixel of the task was added.
        """
        counts = self._counts.get(task, Counter())
        sums = [math.fsum(channel) for channel in zip(*self._sums.get(task, []), strict=True)]
        pixels = counts.total() or (sums.pop() if sums else 0)
        if not pixels:
            raise InputError(f'no training label of {task!r} has a valid pixel')
        if task == 'saliency':
            return np.ones(1)
        kind = self._tasks[task].kind
        if kind in ('classes', 'label'):
            return np.array([min(counts, key=lambda value: (-counts[value], value))], dtype=float)
        if kind == 'binary':
            return np.array([counts[1] / pixels])
        total = np.array(sums)
        return unit_vectors(total) if kind == 'normals' else total / pixels

    def predict(self, sample: MultiTaskDataSample) -> MultiTaskDataSample:
        """Copy a labelled sample, sharing its tensors, and let it predict the constants."""
        predicted = sample.new()
        for key, field in sample.items():
            if key.startswith('gt_') and (task := key.removeprefix('gt_')) in self._tasks:
                constant = torch.from_numpy(self.constant(task))
                if isinstance(field, LabelData):
                    predicted.set_field(LabelData(label=constant.long()), f'pred_{task}')
                    continue
                dtype = torch.int64 if self._tasks[task].kind == 'classes' else torch.float32
                data = constant.to(dtype)[:, None, None].expand(field.data.shape)
                predicted.set_field(PixelData(data=data), f'pred_{task}')
        return predicted


def _array(field: PixelData | LabelData) -> NDArray:
    data: torch.Tensor = field.label if isinstance(field, LabelData) else field.data
    return data.detach().cpu().numpy()


def _sums(label: NDArray, task: Task) -> NDArray[np.float64]:
    """Sum of each channel over the valid pixels, then their number."""
    valid = np.isfinite(label).all(axis=0)
    if not task.zero_counts:
        valid &= label.any(axis=0)
    pixels = label[:, valid].astype(np.float64)
    if task.kind == 'normals':
        pixels = unit_vectors(pixels)
    return np.append(pixels.sum(axis=1), np.count_nonzero(valid))


def score_constant(
    training: Iterable[MultiTaskDataSample],
    held_out: Iterable[MultiTaskDataSample],
    evaluator: Evaluator,
) -> dict[str, float]:
    """Score the constant prediction with the same metrics as a network.

    Args:
        training: Samples whose labels give the constants.
        held_out: Samples to score on, with labels of the original size. Each is used once, so this
            may be a generator.
        evaluator: Any mmengine evaluator of task metrics.

    Returns:
        The evaluator's results, in its units.
    """
    baseline = ConstantBaseline()
    for sample in training:
        baseline.add(sample)
    size = 0
    for sample in held_out:
        evaluator.process([baseline.predict(sample)])
        size += 1
    return evaluator.evaluate(size)
