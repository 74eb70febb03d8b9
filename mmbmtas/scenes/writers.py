"""Files of one image in the layouts of the two multi-task releases, byte formats included."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mmbmtas.datasets.image_files import save_jpeg, save_palette_png
from mmbmtas.datasets.pascal_context import VOC_CLASSES
from mmbmtas.structures.boundaries import label_boundaries, thin

from .classes import CATEGORIES, PARTS, PERSON, lookup
from .mat import Struct, Value, save_mat
from .render import Rendering

SPLITS = ('train', 'val')

FOLDERS = {
    'pascal': (
        'JPEGImages',
        'ImageSets/Context',
        'ImageSets/Parts',
        'pascal-context/trainval',
        'semseg/VOC12',
        'semseg/pascal-context',
        'human_parts',
        'normals_distill',
        'sal_distill',
    ),
    'nyud': ('images', 'segmentation', 'edge', 'normals', 'depth', 'gt_sets'),
}
"""Folders of each layout, relative to the data set's root."""

_VOC = lookup('voc').astype(np.uint8)
_CONTEXT = lookup('context')
_NYU = lookup('nyu').astype(np.uint8)


def write_pascal(root: Path, name: str, number: int, rendering: Rendering) -> list[int]:
    """Write one image in the layout of ``PASCAL_MT``.

    A third of the images each has its semantic map in ``semseg/VOC12``, in
    ``semseg/pascal-context`` and in both. As in the releases, VOC12's maps have void (255) borders
    around their objects, a pixel to each side, and the other's have none.

    Args:
        root: The data set's folder, with its folders made.
        name: The image's id.
        number: The image's number, which decides where its semantic map goes.
        rendering: Image and labels.

    Returns:
        VOC class of each annotated object, in the order of ``human_parts/<id>.mat``.
    """
    save_jpeg(root / 'JPEGImages' / f'{name}.jpg', rendering.image)
    semseg = _VOC[rendering.category]
    if number % 3 != 1:
        bordered = np.where(_border(semseg), np.uint8(255), semseg)
        save_palette_png(root / 'semseg/VOC12' / f'{name}.png', bordered)
    if number % 3 != 0:
        save_palette_png(root / 'semseg/pascal-context' / f'{name}.png', semseg)
    label_map = root / 'pascal-context/trainval' / f'{name}.mat'
    save_mat(label_map, 'LabelMap', _CONTEXT[rendering.category])
    anno, classes = human_parts_struct(name, rendering)
    save_mat(root / 'human_parts' / f'{name}.mat', 'anno', anno)
    _save_png(root / 'normals_distill' / f'{name}.png', normals_to_rgb(rendering.normals))
    _save_png(
        root / 'sal_distill' / f'{name}.png',
        np.where(rendering.salient, np.uint8(255), np.uint8(0)),
    )
    return classes


def write_nyud(root: Path, name: str, rendering: Rendering) -> None:
    """Write one image in the layout of ``NYUD_MT``, packaging B.

    Edges are the boundaries of objects rather than of classes, thinned; what belongs to the room
    counts as one object a class.

    Args:
        root: The data set's folder, with its folders made.
        name: The image's id.
        rendering: Image and labels.
    """
    save_jpeg(root / 'images' / f'{name}.jpg', rendering.image)
    save_palette_png(root / 'segmentation' / f'{name}.png', _NYU[rendering.category])
    objects = np.where(
        rendering.instance < 0, -1 - rendering.category.astype(np.int32), rendering.instance
    )
    np.save(root / 'edge' / f'{name}.npy', thin(label_boundaries(objects)).astype(np.float32))
    np.save(root / 'normals' / f'{name}.npy', rendering.normals)
    np.save(root / 'depth' / f'{name}.npy', rendering.depth)


def _border(labels: NDArray) -> NDArray[np.bool_]:
    """Pixels with another label above, below, left or right."""
    edge = np.zeros(labels.shape, bool)
    across = labels[:, :-1] != labels[:, 1:]
    down = labels[:-1] != labels[1:]
    edge[:, :-1] |= across
    edge[:, 1:] |= across
    edge[:-1] |= down
    edge[1:] |= down
    return edge


def normals_to_rgb(normals: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Unit normals as 8 bits, ``n = 2 v / 255 - 1``: within 0.4 degrees; ``(H, W, 3)``."""
    return np.rint((normals + 1) * 127.5).astype(np.uint8)


def human_parts_struct(name: str, rendering: Rendering) -> tuple[Struct, list[int]]:
    """The MATLAB structure ``anno`` of an image: its VOC objects, people with parts.

    Args:
        name: The image's id.
        rendering: Labels.

    Returns:
        The structure, and the VOC class of each of its objects.
    """
    # MATLAB stores columns one after another, and masks are made in that order.
    instance, category, part = (
        np.ascontiguousarray(a.T) for a in (rendering.instance, rendering.category, rendering.part)
    )
    rows: list[tuple[Value, ...]] = []
    classes: list[int] = []
    for i in range(instance.max() + 1):
        mask = (instance == i).view(np.uint8)
        first = mask.argmax()
        kind = int(category.flat[first])
        voc = CATEGORIES[kind].voc
        if not mask.flat[first] or voc == 0:
            continue
        parts: Value = np.zeros((0, 0), np.uint8)
        if kind == PERSON:
            own = part * mask
            parts = Struct(
                ('part_name', 'mask'),
                [
                    (PARTS[p], (own == p).view(np.uint8).T)
                    for p in np.flatnonzero(np.bincount(own.ravel())[1:]) + 1
                ],
            )
        rows.append((VOC_CLASSES[voc], np.array([[voc]], np.uint8), mask.T, parts))
        classes.append(voc)
    objects = Struct(('class', 'class_ind', 'mask', 'parts'), rows)
    return Struct(('imname', 'objects'), [(name, objects)]), classes


def _save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write grey or RGB; OpenCV's defaults take half of the time of Pillow's."""
    bgr = pixels if pixels.ndim == 2 else pixels[..., ::-1]
    path.write_bytes(cv2.imencode('.png', bgr)[1].tobytes())
