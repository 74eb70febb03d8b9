"""Files of one image in the layouts of the two multi-task releases, byte formats included."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray
from PIL import Image
from skimage.morphology import thin

from mmbmtas.datasets.pascal_context import VOC_CLASSES
from mmbmtas.structures.palettes import class_palette

from .classes import CATEGORIES, PARTS, PERSON, lookup
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
_PALETTE = np.array(class_palette(256), np.uint8).tobytes()


# Of the MATLAB 5 format: bytes of descriptive text, of the whole header, and the compressed type.
_MAT_TEXT, _MAT_HEADER, _MAT_COMPRESSED = 116, 128, 15


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
    _save_mat(label_map, {'LabelMap': _CONTEXT[rendering.category]})
    anno, classes = human_parts_struct(name, rendering)
    _save_mat(root / 'human_parts' / f'{name}.mat', {'anno': anno})
    _save_png(root / 'normals_distill' / f'{name}.png', normals_to_rgb(rendering.normals))
    _save_png(root / 'sal_distill' / f'{name}.png', rendering.salient.astype(np.uint8) * 255)
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
    np.save(root / 'edge' / f'{name}.npy', thin(boundary(objects)).astype(np.float32))
    np.save(root / 'normals' / f'{name}.npy', rendering.normals)
    np.save(root / 'depth' / f'{name}.npy', rendering.depth)


def boundary(labels: NDArray) -> NDArray[np.bool_]:
    """Pixels whose label differs from that of their east, south or south-east neighbour.

    Args:
        labels: Any labels, ``(H, W)``.
    """
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[:-1, :-1] |= labels[:-1, :-1] != labels[1:, 1:]
    return edge


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


def human_parts_struct(name: str, rendering: Rendering) -> tuple[NDArray, list[int]]:
    """The MATLAB structure ``anno`` of an image: its VOC objects, people with parts.

    Args:
        name: The image's id.
        rendering: Labels.

    Returns:
        The structure, and the VOC class of each of its objects.
    """
    fields = ['class', 'class_ind', 'mask', 'parts']
    rows: list[tuple[Any, ...]] = []
    classes: list[int] = []
    size = int(rendering.instance.max()) + 1
    inside = rendering.instance >= 0
    of_object = np.zeros(size, np.int64)
    of_object[rendering.instance[inside]] = rendering.category[inside]
    present = np.unique(rendering.instance[inside])
    for i in present:
        category = int(of_object[i])
        voc = CATEGORIES[category].voc
        if voc == 0:
            continue
        mask = rendering.instance == i
        parts: NDArray = np.zeros((0, 0), np.uint8)
        if category == PERSON:
            own = np.where(mask, rendering.part, 0)
            numbers = np.flatnonzero(np.bincount(own.ravel())[1:]) + 1
            parts = _struct(
                ['part_name', 'mask'], [(PARTS[p], (own == p).astype(np.uint8)) for p in numbers]
            )
        rows.append((VOC_CLASSES[voc], np.array([[voc]], np.uint8), mask.astype(np.uint8), parts))
        classes.append(voc)
    anno = _struct(['imname', 'objects'], [(name, _struct(fields, rows))])
    return anno, classes


def _struct(fields: list[str], rows: list[tuple[Any, ...]]) -> NDArray:
    """A 1 x N MATLAB structure array."""
    array = np.empty((1, len(rows)), [(field, object) for field in fields])
    for i, row in enumerate(rows):
        for field, value in zip(fields, row, strict=True):
            array[field][0, i] = value
    return array


def save_jpeg(path: Path, image: NDArray[np.uint8]) -> None:
    """Write RGB as JPEG of quality 95 with full colour resolution."""
    Image.fromarray(image).save(path, quality=95, subsampling=0)


def save_palette_png(path: Path, labels: NDArray[np.uint8]) -> None:
    """Write class indices as PNG with PASCAL VOC's palette."""
    picture = Image.fromarray(labels)
    picture.putpalette(_PALETTE)
    picture.save(path, compress_level=3)


def _save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(path, compress_level=3)


def _save_mat(path: Path, variable: dict[str, NDArray]) -> None:
    """Write one variable as a compressed MATLAB 5 file, as `scipy.io.savemat` would but faster.

    Masks are nearly empty, so zlib's quickest level is as good as its slowest.
    """
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variable)
    content = buffer.getvalue()
    packed = zlib.compress(content[_MAT_HEADER:], 1)
    tag = struct.pack('=II', _MAT_COMPRESSED, len(packed))
    path.write_bytes(_mat_header(content) + tag + packed)


def _mat_header(content: bytes) -> bytes:
    """The header with the time of writing blanked, so that equal content makes equal files."""
    return b'MATLAB 5.0 MAT-file'.ljust(_MAT_TEXT) + content[_MAT_TEXT:_MAT_HEADER]
