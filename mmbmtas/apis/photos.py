"""Images as users have them: files of many formats, arrays, folders."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mmbmtas.errors import InputError, MissingFileError

Photo = str | Path | np.ndarray
"""An image file, or BGR uint8 ``(H, W, 3)`` as OpenCV and mmcv read it; see :func:`as_bgr`."""

_ENDINGS = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')


def read_photo(path: str | Path) -> np.ndarray:
    """Read an image file of any format Pillow reads, the way viewers show it.

    It is turned as its EXIF data say. Grey and palette images become colours, 16-bit values the
    upper 8 bits, and transparent pixels show white. Of several frames it is the first.

    Args:
        path: The file.

    Returns:
        BGR uint8, ``(H, W, 3)``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be decoded to the end, or its pixels are neither 8 nor 16 bits.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path} is not an image file: there is no such file')
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            deep = image.mode == 'F' or image.mode.startswith('I')
            pixels = np.asarray(image if deep else _as_colours(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f'{path}: expected a readable image, found: {error}') from error
    try:
        return as_bgr(_as_sixteen_bits(pixels) if deep else pixels[..., ::-1])
    except ValueError as error:
        raise InputError(f'{path}: {error}') from error


def as_bgr(array: np.ndarray) -> np.ndarray:
    """Bring an array to the form that the transforms take.

    Args:
        array: uint8 or uint16: grey ``(H, W)`` or ``(H, W, 1)``, BGR ``(H, W, 3)``, or BGR with
            opacity ``(H, W, 4)``, whose transparent pixels become white.

    Returns:
        BGR uint8, ``(H, W, 3)``.

    Raises:
        ValueError: If the array is of another type or shape, or has no pixel.
    """
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f'expected values of uint8 or uint16, found {array.dtype}')
    planes = array[..., None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.shape[2] not in (1, 3, 4) or planes.size == 0:
        raise InputError(
            f'expected an image (H, W), (H, W, 3) BGR or (H, W, 4), found shape {array.shape}'
        )
    if planes.dtype == np.uint16:
        planes = (planes >> 8).astype(np.uint8)
    if planes.shape[2] == 4:
        opacity = planes[..., 3:] / 255
        planes = np.rint(planes[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(planes, (*planes.shape[:2], 3)))


def list_photos(inputs: Photo | Iterable[Photo]) -> list[Photo]:
    """List images one by one; a folder stands for the image files in it, by name.

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
    """Name each image by its file, without the ending; equal names get a number.

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


def _as_colours(image: Image.Image) -> Image.Image:
    """The image in RGB; what is transparent shows white."""
    if image.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in image.info:
        image = image.convert('RGBA')
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
    return image.convert('RGB')


def _as_sixteen_bits(pixels: np.ndarray) -> np.ndarray:
    """Grey values that fit 16 bits, which Pillow may hold in 32."""
    whole = pixels.astype(np.uint16)
    if not np.array_equal(whole, pixels):
        raise InputError(f'expected 8 or 16 bits a channel, found {pixels.dtype} values beyond')
    return whole
