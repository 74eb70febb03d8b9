"""The last transforms: mark what is ignored, and pack the sample for the data loader."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform, to_tensor
from mmengine.structures import LabelData, PixelData
from numpy.typing import DTypeLike

from mmbmtas.registry import TRANSFORMS
from mmbmtas.structures.data_sample import MultiTaskDataSample
from mmbmtas.structures.tasks import IGNORE_INDEX

from .labels import check_sizes, image_labels, iter_labels


@TRANSFORMS.register_module()
class IgnoreEmptyParts(BaseTransform):
    """Ignore the whole human parts map (255) of a sample that shows no part.

    Only images with annotated people count for that task. It stands after all geometry, so that a
    crop beside the people counts as one without.
    """

    def transform(self, results: dict) -> dict:
        """Mark the map where it has neither of the parts."""
        parts = results.get('gt_human_parts')
        if parts is not None and not ((parts > 0) & (parts != IGNORE_INDEX)).any():
            results['gt_human_parts'] = np.full_like(parts, IGNORE_INDEX)
        return results


@TRANSFORMS.register_module()
class PackMultiTaskInputs(BaseTransform):
    """Pack a sample as ``dict(inputs=..., data_samples=...)``.

    ``inputs`` is the image as a uint8 tensor ``(3, H, W)``, BGR. ``data_samples`` is a
    :class:`MultiTaskDataSample` with a ``gt_<task>`` for each label that the sample has: int64
    ``(1, H, W)`` for whole numbers, float32 ``(C, H, W)`` for others. Labels of the whole image
    become ``LabelData``, whose ``label`` is int64 ``(1,)``.

    Args:
        meta_keys: Entries to keep as the sample's metainfo, of those that there are.

    Raises:
        ValueError: If a label has another size than the image, or than ``label_shape`` where a
            transform has changed the image alone on purpose (in evaluation).
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = (
            'img_path',
            'img_id',
            'ori_shape',
            'img_shape',
            'padding',
            'scale_factor',
            'flip',
            'flip_direction',
            'task_kinds',
            'domain',
        ),
    ) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack the image, the labels and the metainfo."""
        check_sizes(results, type(self).__name__, results.get('label_shape'))
        meta = {key: results[key] for key in self.meta_keys if key in results}
        sample = MultiTaskDataSample(metainfo=meta)
        for task, label in iter_labels(results):
            sample.set_data({task.key: PixelData(data=_label_tensor(label))})
        for key, number in image_labels(results).items():
            sample.set_data({key: LabelData(label=torch.tensor([number]))})
        return {
            'inputs': _channels_first(results['img'], results['img'].dtype),
            'data_samples': sample,
        }

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'


def _channels_first(array: np.ndarray, dtype: DTypeLike) -> torch.Tensor:
    """A tensor ``(C, H, W)`` of an array ``(H, W)`` or ``(H, W, C)``, copied once."""
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    # Several times as fast as ascontiguousarray, which takes the elements of a view one by one.
    return to_tensor(planes.astype(dtype, order='C'))


def _label_tensor(label: np.ndarray) -> torch.Tensor:
    """A label as int64 where it holds whole numbers or truth values, else as float32."""
    dtype = np.float32 if label.dtype.kind == 'f' else np.int64
    return _channels_first(label, dtype)
