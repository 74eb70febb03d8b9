"""Transforms that read a sample's image and labels."""

from collections.abc import Callable

import numpy as np
from mmcv.transforms import BaseTransform

from mmbmtas.datasets.pascal_labels import NORMALS_VALID, read_human_parts, read_label_map
from mmbmtas.errors import InputError
from mmbmtas.reading import (
    RangeError,
    SizeError,
    plane,
    read_colour_normals,
    read_image,
    read_index_image,
    read_mask,
    read_mat,
    read_npy,
)
from mmbmtas.registry import TRANSFORMS
from mmbmtas.structures.tasks import IGNORE_INDEX

from .labels import add_label

_NUM_NYUD_CLASSES = 40
_NUM_VOC_CLASSES = 21


@TRANSFORMS.register_module()
class LoadSampleImage(BaseTransform):
    """Read the image at ``img_path``.

    Adds ``img`` (BGR uint8, ``(H, W, 3)``), and ``ori_shape`` and ``img_shape`` ``(H, W)``. Unlike
    mmcv's loader it also reports truncated files, with the file's name.

    Raises:
        ValueError: If the image cannot be decoded or is empty.
    """

    def transform(self, results: dict) -> dict:
        """Read the image."""
        results['img'] = read_image(results['img_path'])
        results['ori_shape'] = results['img_shape'] = results['img'].shape[:2]
        return results


class LoadLabels(BaseTransform):
    """Reads each of ``label_paths`` by the subclass's reader and checks its size."""

    def readers(self) -> dict[str, Callable[[str, dict], np.ndarray]]:
        """A function for each label name, of the path and the pipeline's dict."""
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        """Read the labels that the sample has."""
        readers = self.readers()
        results.setdefault('label_keys', [])
        for name, path in results['label_paths'].items():
            label = readers[name](path, results)
            if label.ndim and label.shape[:2] != results['ori_shape']:  # else of the whole image
                raise SizeError(
                    f'{path}: expected a label of the size of its image {results["img_path"]}, '
                    f'{results["ori_shape"]}, found {label.shape[:2]}'
                )
            self.add(results, name, label)
        if 'img' in results and results['img'].shape[:2] != results['ori_shape']:
            results['label_shape'] = results['ori_shape']  # the image alone was resized before
        return results

    def add(self, results: dict, name: str, label: np.ndarray) -> None:
        """Put the label into the pipeline's dict."""
        add_label(results, name, label)


@TRANSFORMS.register_module()
class LoadPascalContextLabels(LoadLabels):
    """Read the labels of a :class:`PascalContextMT` sample; follows :class:`LoadSampleImage`.

    Adds ``gt_<task>`` for each label (see ``docs/design.md`` for their arrays) and ``label_keys``.
    For edges it adds ``label_map``, the 459-class map that :class:`DeriveEdges` reads. Normals
    are zero, which is ignored, outside the 170 classes whose normals are trusted; where a normal
    is stored as the grey that stands for zero (all channels 127 or 128) it is zero as well.

    Raises:
        ValueError: If a file cannot be decoded, or has another size, structure or range of values
            than expected.
    """

    def readers(self) -> dict[str, Callable[[str, dict], np.ndarray]]:
        """A function for each label name."""
        return {
            'semseg': lambda path, _: _read_classes(path, _NUM_VOC_CLASSES),
            'human_parts': _read_parts,
            'saliency': lambda path, _: read_mask(path),
            'normals': lambda path, _: read_colour_normals(path),
            'label_map': lambda path, _: read_label_map(path),
        }

    def transform(self, results: dict) -> dict:
        """Read the labels that the sample has."""
        results = super().transform(results)
        label_map = results.get('label_map')
        if 'gt_normals' in results and label_map is not None:
            results['gt_normals'][~NORMALS_VALID[label_map]] = 0
        if 'edge' not in results['tasks']:
            results.pop('label_map', None)
        return results

    def add(self, results: dict, name: str, label: np.ndarray) -> None:
        """Put the label into the pipeline's dict; ``label_map`` is none of a task."""
        if name == 'label_map':
            results[name] = label
        else:
            super().add(results, name, label)


@TRANSFORMS.register_module()
class LoadNYUDv2Labels(LoadLabels):
    """Read the labels of a :class:`NYUDv2MT` sample, of any packaging; follows the image.

    Adds ``gt_<task>`` for each label (see ``docs/design.md`` for their arrays) and ``label_keys``.
    Stored class 0 becomes 255, ignored, and classes 1 to 40 become 0 to 39. Depth that is not
    finite or negative becomes 0, which is ignored; so do normals that are not finite.

    Raises:
        ValueError: If a file cannot be decoded, or has another size, structure or range of values
            than expected.
    """

    def readers(self) -> dict[str, Callable[[str, dict], np.ndarray]]:
        """A function for each label name."""
        return {
            'semseg': lambda path, _: _read_nyud_classes(path),
            'edge': lambda path, _: read_mask(path),
            'normals': lambda path, _: _read_nyud_normals(path),
            'depth': lambda path, _: _read_depth(path),
        }


def _read_parts(path: str, results: dict) -> np.ndarray:
    """Parts map; the file, slow to parse, is left alone where nobody is in the image."""
    if not results.get('has_people', True):
        return np.zeros(results['ori_shape'], np.uint8)
    return read_human_parts(path, results['ori_shape'])


def _read_classes(path: str, num_classes: int) -> np.ndarray:
    """Class map of an index image whose values are classes or 255."""
    label = read_index_image(path)
    return _check_classes(path, label, num_classes - 1)


def _check_classes(path: str, label: np.ndarray, highest: int) -> np.ndarray:
    """The label, if its values are 0 to the highest class, or 255."""
    if label.size and label.max() > highest:
        wrong = label[(label > highest) & (label != IGNORE_INDEX)]
        if wrong.size:
            raise RangeError(
                f'{path}: expected classes 0 to {highest} or {IGNORE_INDEX}, found {wrong.max()}'
            )
    return label


def _read_nyud_classes(path: str) -> np.ndarray:
    """Classes 0 to 39, with 255 where 0 is stored."""
    if path.endswith('.mat'):
        stored = plane(path, read_mat(path, 'segmentation'))
        label = stored.astype(np.uint8)
        if not np.array_equal(stored, label):
            raise RangeError(f'{path}: expected whole numbers 0 to 40, found others')
    else:
        label = read_index_image(path)
    _check_classes(path, label, _NUM_NYUD_CLASSES)
    return np.where(label == IGNORE_INDEX, label, label - np.uint8(1))


def _read_nyud_normals(path: str) -> np.ndarray:
    """Normals of an array or of a colour image."""
    if not path.endswith('.npy'):
        return read_colour_normals(path)
    normals = read_npy(path)
    if normals.ndim != 3 or normals.shape[2] != 3:
        raise InputError(f'{path}: expected normals of shape (H, W, 3), found {normals.shape}')
    normals = normals.astype(np.float32)
    normals[~np.isfinite(normals).all(axis=-1)] = 0
    return normals


def _read_depth(path: str) -> np.ndarray:
    """Depth in metres, 0 where it is unknown."""
    stored = read_mat(path, 'depth') if path.endswith('.mat') else read_npy(path)
    depth = plane(path, stored).astype(np.float32)
    depth[~(np.isfinite(depth) & (depth > 0))] = 0
    return depth
