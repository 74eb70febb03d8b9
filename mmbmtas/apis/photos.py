"""Images as users have them: files of many formats, arrays, folders."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mmbmtas.errors import InputError
from mmbmtas.reading import as_bgr, read_image

__all__ = ['Photo', 'as_bgr', 'list_photos', 'read_photo', 'unique_names']

Photo = str | Path | np.ndarray
"""An image file, or BGR uint8 ``(H, W, 3)`` as OpenCV and mmcv read it; see
:func:`mmbmtas.reading.as_bgr`."""

_ENDINGS = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')


read_photo = read_image


def list_photos(inputs: Photo | Iterable[Photo]) -> list[Photo]:
    """List images one by one; a folder is replaced by its image files, sorted by name.

    Args:
        inputs: A file, folder or array, or several of them. Folders within folders are not
            searched.

    Returns:
        Files and arrays.

    Raises:
        ValueError: If a folder holds no image file.
    """
    photos: list[Photo] = []
    for item in [inputs] if isinstance(inputs, str | Path | np.ndarray) else inputs:
        if isinstance(item, np.ndarray) or not Path(item).is_dir():
            photos.append(item)
            continue
        found = sorted(p for p in Path(item).iterdir() if p.suffix.lower() in _ENDINGS)
        if not found:
            raise InputError(f'{item}: expected image files ({", ".join(_ENDINGS)}), found none')
        photos.extend(found)
    return photos


def unique_names(photos: Iterable[Photo]) -> list[str]:
    """Name each image after its file, without the extension; equal names get a number.

    Args:
        photos: What :func:`list_photos` gives; arrays are called ``image``.

    Returns:
        As many different names.
    """
    names: dict[str, None] = {}
    for photo in photos:
        stem = 'image' if isinstance(photo, np.ndarray) else Path(photo).stem
        name, number = stem, 1
        while name in names:
            number += 1
            name = f'{stem}_{number}'
        names[name] = None
    return list(names)
