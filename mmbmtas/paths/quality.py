"""The quality of a batch's predictions from 0 to 1, which is the reward of searches."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmseg.models.utils import resize
from torch import Tensor
from torch.nn import functional as F

from mmbmtas.errors import InputError
from mmbmtas.models.backbones.protocols import Features
from mmbmtas.structures.data_sample import MultiTaskDataSample

from .domain_encoder_decoder import take_rows


def quality_of(
    domain: str,
    heads: Mapping[str, Any],
    features: Features,
    data_samples: Sequence[MultiTaskDataSample],
) -> Tensor:
    """Return the mean quality of a domain's tasks, 0-d, float64.

    Of image labels it is the accuracy (TuNAS). Of maps it is ours: the mean IoU of the batch over
    the classes that occur, of two classes for a probability; the mean cosine between normals, at
    least 0; and ``1 / (1 + mean error / mean size)`` of values.

    Args:
        domain: What messages call the domain.
        heads: The decoder of each task.
        features: Features of the images.
        data_samples: Their labels.

    Raises:
        InputError: No task has a label.
    """
    found = [
        _quality(head, head(features), data_samples)
        for head in heads.values()
        if head.is_labelled(data_samples)
    ]
    if not found:
        raise InputError(
            f'no image of the domain {domain!r} in the batch has a valid label of {[*heads]}: '
            'a path cannot be judged without one'
        )
    return torch.stack(found).mean()


def _quality(head: Any, maps: Tensor, data_samples: Sequence[MultiTaskDataSample]) -> Tensor:
    if head.output == 'label':
        rows = [row for row, sample in enumerate(data_samples) if head.target_key in sample]
        labels = torch.cat([data_samples[row].get(head.target_key).label for row in rows])
        return (take_rows(maps, rows).argmax(dim=1) == labels).double().mean()
    target = head._stack_batch_gt(data_samples)
    maps = resize(maps.float(), target.shape[2:], mode='bilinear', align_corners=head.align_corners)
    if head.output == 'classes':
        return _mean_iou(maps.argmax(dim=1), target[:, 0], head.num_classes, head.ignore_index)
    if head.output == 'probability':
        return _mean_iou((maps[:, 0] > 0).long(), target[:, 0], 2, head.ignore_index)
    if head.output == 'normals':
        known = (target != 0).any(dim=1)
        return _mean_where(known, F.cosine_similarity(maps, target, dim=1)).clamp(min=0)
    known = head._valid(target)
    error = _mean_where(known, (maps - target).abs())
    return 1 / (1 + error / _mean_where(known, target.abs()).clamp(min=1e-12))


def _mean_where(known: Tensor, values: Tensor) -> Tensor:
    """Return the mean of the known values, in float64; a GPU would be waited for to pick them."""
    values = torch.where(known, values.double(), 0.0)
    return values.sum() / known.sum()


def _mean_iou(predicted: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Return the mean IoU over the classes that occur in prediction or label."""
    valid = target != ignore_index
    hits = _count(target, valid & (predicted == target), num_classes)
    both = _count(target, valid, num_classes) + _count(predicted, valid, num_classes)
    union = both - hits
    return (hits / union.clamp(min=1)).sum() / (union > 0).sum()


def _count(classes: Tensor, where: Tensor, num_classes: int) -> Tensor:
    """Count the pixels of each class where a mask is true, ``(num_classes,)``, float64."""
    index = torch.where(where & (classes < num_classes), classes, num_classes).flatten().long()
    counts = torch.zeros(num_classes + 1, dtype=torch.float64, device=classes.device)
    return counts.scatter_add(0, index, counts.new_ones(()).expand_as(index))[:-1]
