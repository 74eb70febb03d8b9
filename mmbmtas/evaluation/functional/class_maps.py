"""Class maps: the confusion matrix, and intersection over union."""

import math

import numpy as np
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.evaluation.functional.pooling import nan_with_warning
from mmbmtas.structures.tasks import IGNORE_INDEX


def confusion_matrix(
    prediction: NDArray, label: NDArray, num_classes: int, ignore_index: int = IGNORE_INDEX
) -> NDArray[np.int64]:
    """Count the pixels of each pair of true and predicted class.

    Args:
        prediction: Class indices, any shape.
        label: Class indices of the same shape; pixels of ``ignore_index`` are left out.
        num_classes: Number of classes ``C``.
        ignore_index: Label of pixels to leave out.

    Returns:
        Counts ``(C, C)``, rows are true classes.

    Raises:
        ValueError: A valid pixel has a class outside ``0 .. C - 1``.
    """
    valid = label != ignore_index
    truth, predicted = label[valid].astype(np.int64), prediction[valid].astype(np.int64)
    for name, classes in (('label', truth), ('prediction', predicted)):
        if classes.size and not 0 <= classes.min() <= classes.max() < num_classes:
            raise InputError(
                f'the {name} has classes {classes.min()}..{classes.max()}, '
                f'expected 0..{num_classes - 1}'
            )
    counts = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def class_iou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the intersection over union of each class in percent.

    Args:
        confusion: Counts ``(C, C)`` over the split.

    Returns:
        ``(C,)``; ``nan`` for a class in neither truth nor prediction.
    """
    intersection = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - intersection
    return np.divide(100.0 * intersection, union, out=np.full(len(union), np.nan), where=union > 0)


def mean_iou(confusion: NDArray[np.int64]) -> float:
    """Return the mean of :func:`class_iou` in percent over the classes that occur."""
    iou = class_iou(confusion)
    present = iou[~np.isnan(iou)]
    return math.fsum(present) / len(present) if len(present) else nan_with_warning('mIoU')
