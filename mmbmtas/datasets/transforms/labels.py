"""Helpers for label maps: iterate over them, add one, resize one."""

from collections.abc import Iterator

import mmcv
import numpy as np

from mmbmtas.reading import SizeError
from mmbmtas.structures.tasks import Task, label_task

_KEY_PREFIX = 'gt_'
_RESIZABLE = {np.dtype(t) for t in ('u1', 'i1', 'u2', 'i2', 'i4', 'f4', 'f8')}


def iter_labels(results: dict) -> Iterator[tuple[Task, np.ndarray]]:
    """Go through the label maps that a sample has, past labels of whole images.

    Args:
        results: The pipeline's dict with ``label_keys`` and a map for each; with ``task_kinds``
            where the data set states kinds.

    Yields:
        The task and its label map.
    """
    kinds = results.get('task_kinds')
    of_images = image_labels(results)
    for key in results.get('label_keys', ()):
        if key not in of_images:
            label = results[key]
            yield label_task(key.removeprefix(_KEY_PREFIX), label.dtype.kind == 'f', kinds), label


def image_labels(results: dict) -> dict[str, int]:
    """Return the labels of the whole image that a sample has, by their keys."""
    kinds = results.get('task_kinds') or {}
    keys = results.get('label_keys', ())
    return {k: int(results[k]) for k in keys if kinds.get(k.removeprefix(_KEY_PREFIX)) == 'label'}


def check_sizes(results: dict, where: str, size: tuple[int, int] | None = None) -> None:
    """Make sure that labels lie on the image, pixel by pixel.

    Args:
        results: The pipeline's dict.
        where: Name of the transform that needs it.
        size: Height and width that labels should have; default the image's.

    Raises:
        ValueError: If a label has another size; names the transform, the label and its file.
    """
    size = size or results['img'].shape[:2]
    maps = [task.key for task, _ in iter_labels(results)]
    for key in (*maps, *(k for k in ('label_map',) if k in results)):
        found = results[key].shape[:2]
        if found != size:
            path = results.get('label_paths', {}).get(key.removeprefix(_KEY_PREFIX))
            image = results.get('img_path')
            raise SizeError(
                f'{path or image}: {where} expects {key} of the size of its image'
                f'{f" {image}" * (path is not None)}, {size[0]} x {size[1]}, found '
                f'{found[0]} x {found[1]} (height x width)'
            )


def add_label(results: dict, task: str, label: np.ndarray) -> None:
    """Put a label into the pipeline's dict and list its key.

    Args:
        results: The pipeline's dict; changed.
        task: Name of the task.
        label: The label map.
    """
    key = f'{_KEY_PREFIX}{task}'
    results[key] = label
    keys = results.setdefault('label_keys', [])
    if key not in keys:
        keys.append(key)


def resize_nearest(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a map so that every value is one of the old values.

    Args:
        label: ``(H, W)`` or ``(H, W, C)`` of any dtype.
        size: New width and height in pixels.

    Returns:
        The resized map, of the same dtype.
    """
    if label.dtype in _RESIZABLE:
        return mmcv.imresize(label, size, interpolation='nearest')
    height, width = label.shape[:2]
    rows = np.arange(size[1]) * height // size[1]
    columns = np.arange(size[0]) * width // size[0]
    return label[rows[:, None], columns]
