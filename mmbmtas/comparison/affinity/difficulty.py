"""How hard images are for each task of a trained network: what FAFS compares."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from mmbmtas.engine.failures import worker_death_explained
from mmbmtas.errors import DivergenceError
from mmbmtas.evaluation import functional as metrics
from mmbmtas.models.decode_heads import DeepLabV3PlusHead, LabelHead
from mmbmtas.structures.data_sample import MultiTaskDataSample

from .images import with_progress

_LEAST_SCORE = 1e-6


def image_error(
    task: str, head: DeepLabV3PlusHead | LabelHead, sample: MultiTaskDataSample
) -> float:
    """Return a task's error on one image; harder images have larger errors.

    The task's metric on this image alone, turned into an error (verified); which one is our choice:
    100 - mIoU of classes, 100 - maxIoU of saliency, mean angle of normals, RMSE of depth. Edges
    (verified: the loss), classes of whole images and tasks that have no metric take the loss of the
    prediction.

    Args:
        task: Name of the task.
        head: Its decoder.
        sample: The image's label and prediction, both at the image's original size.

    Returns:
        The error; nan if the image has no valid pixel of the task.

    Raises:
        DivergenceError: The error is not finite.
    """
    if not head.is_labelled([sample]):
        return math.nan
    if head.output == 'label':
        scores, label = sample.get(f'pred_{task}').score, sample.get(head.target_key).label
        return -math.log(max(float(scores[int(label)]), _LEAST_SCORE))
    predicted, target = (
        sample.get(f'pred_{task}').data.cpu(),
        sample.get(head.target_key).data.cpu(),
    )
    prediction, label = predicted.numpy(), target.numpy()
    if head.output == 'classes':
        matrix = metrics.confusion_matrix(prediction, label, head.num_classes, head.ignore_index)
        error = 100 - metrics.mean_iou(matrix)
    elif task == 'saliency':
        histogram = metrics.saliency_histogram(prediction, label, head.ignore_index)
        error = 100 - metrics.saliency_scores([histogram])['maxIoU']
    elif head.output == 'normals':
        error = metrics.normal_scores([metrics.normal_errors(prediction, label)])['mean']
    elif task == 'depth':
        error = metrics.depth_scores([metrics.depth_errors(prediction, label)])['rmse']
    else:
        error = _loss(head, predicted, sample)
    if not math.isfinite(error):
        raise DivergenceError(
            f'the error of {task!r} on an image is {error}: has its training diverged?'
        )
    return error


def _loss(head: DeepLabV3PlusHead, predicted: torch.Tensor, sample: MultiTaskDataSample) -> float:
    """Return the loss of a prediction; probabilities become logits again."""
    maps = torch.logit(predicted, eps=1e-6) if head.output == 'probability' else predicted
    return float(sum(head.loss_by_feat(maps[None], [sample.cpu()]).values()))


@worker_death_explained('test_dataloader')
@torch.no_grad()
def measure_errors(model: Any, loader: DataLoader) -> NDArray[np.float64]:
    """Measure the error of every task on every image.

    Args:
        model: A trained :class:`MultiTaskEncoderDecoder`.
        loader: Images with labels at their original size.

    Returns:
        ``(T, N)``, nan where an image has no label of a task.

    Raises:
        WorkerError: A worker of the loader has died.
    """
    model.eval()
    columns = []
    for batch in with_progress(loader):
        for sample in model.test_step(batch):
            columns.append([image_error(t, head, sample) for t, head in model.decode_heads.items()])
    return np.array(columns, np.float64).T
