"""Reads images and label images."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from mmbmtas.errors import InputError, MissingFileError

from .arrays import plane, read_npy
from .faults import RangeError

_ORIENTATION = 0x0112  # EXIF tag; 1 is upright
_FEW = 4
"""A label of at most as many values is no map of probabilities."""


@contextmanager
def _opened(path: str | Path, what: str) -> Iterator[Image.Image]:
    """Open an image file; turn any fault of the file into one kind of error."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError as error:
        raise MissingFileError(f'{path} is not an image file: there is no such file') from error
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f'{path}: expected a readable {what}, found: {error}') from error


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file, of any format that Pillow reads, as viewers show it.

    EXIF data rotate the image. Grey and palette images become colours, 16-bit values keep their
    upper 8 bits, and transparent pixels become white. Only the first of several frames is read.
    Pillow decodes the file because it reports truncated files, which OpenCV fills with grey.

    Args:
        path: The file.

    Returns:
        BGR uint8, ``(H, W, 3)``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be decoded to the end, has no pixels, or has other than 8 or 16
            bits per value.
    """
    with _opened(path, 'image') as image:
        ImageOps.exif_transpose(image, in_place=True)
        deep = image.mode == 'F' or image.mode.startswith('I')
        pixels = np.asarray(image if deep else _as_colours(image))
        clear = image.info.get('transparency') if deep else None
    if pixels.size == 0:
        raise InputError(f'{path}: expected an image with pixels, found an empty one')
    if not deep:
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    # Pillow may store 16 bits in 32.
    whole = pixels.astype(np.uint16)
    if not np.array_equal(whole, pixels):
        raise InputError(
            f'{path}: expected 8 or 16 bits per channel, found larger {pixels.dtype} values'
        )
    if isinstance(clear, int):
        whole[whole == clear] = np.iinfo(whole.dtype).max
    return as_bgr(whole)


def _as_colours(image: Image.Image) -> Image.Image:
    """Convert an image to RGB; transparent pixels become white."""
    if image.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in image.info:
        image = image.convert('RGBA')
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
    return image.convert('RGB')


def as_bgr(array: np.ndarray) -> np.ndarray:
    """Convert an array to the form that :func:`read_image` returns and transforms take.

    Args:
        array: uint8 or uint16: grey ``(H, W)`` or ``(H, W, 1)``, BGR ``(H, W, 3)``, or BGR with
            opacity ``(H, W, 4)``, whose transparent pixels become white.

    Returns:
        BGR uint8, ``(H, W, 3)``.

    Raises:
        ValueError: If the array has another type or shape, or no pixels.
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


def is_turned(path: str | Path) -> bool:
    """Whether the EXIF data of an image file rotate or mirror it.

    Args:
        path: An image file.

    Raises:
        ValueError: If it cannot be opened.
    """
    with _opened(path, 'image') as image:
        return image.getexif().get(_ORIENTATION, 1) in range(2, 9)


def read_index_image(path: str | Path) -> np.ndarray:
    """Read the raw indices of a palette or grey image, never its colours.

    Args:
        path: Image file of one channel of 1, 2, 4 or 8 bits; EXIF data rotate it as in
            :func:`read_image`.

    Returns:
        uint8, ``(H, W)``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be decoded or has another pixel format.
    """
    return _read_indices(path)[0]


def _read_indices(path: str | Path) -> tuple[np.ndarray, int, np.ndarray | None]:
    """Return the raw indices of a label image, the highest possible one, and any palette."""
    with _opened(path, 'label image') as image:
        mode, bits = image.mode, _grey_bits(image)
        if mode not in ('P', 'L', '1'):
            raise InputError(
                f'{path}: expected an 8-bit palette or grey image (mode P or L), found mode {mode}'
            )
        ImageOps.exif_transpose(image, in_place=True)
        palette = image.getpalette('RGB') if mode == 'P' else None
        indices = np.array(image).astype(np.uint8, copy=False)
    highest = 2**bits - 1
    if mode == 'L' and bits < 8:  # Pillow scales the values to 0 .. 255
        indices //= np.uint8(255 // highest)
    table = None if palette is None else np.array(palette, np.uint8).reshape(-1, 3)
    return indices, highest, table


def _grey_bits(image: Image.Image) -> int:
    """Return the stored bits per value, 8 if the image is not grey; call before decoding."""
    tiles = getattr(image, 'tile', None)  # of a file: how its pixels are stored
    mode = tiles[0][3] if image.mode == 'L' and tiles else ''
    name = mode if isinstance(mode, str) else str((mode or ('',))[0])
    return {'L;2': 2, 'L;4': 4}.get(name, 1 if image.mode == '1' else 8)


def read_stored_values(path: str | Path) -> np.ndarray:
    """Read the numbers that a single-channel image stores, of any depth.

    Args:
        path: Image file of 1 to 16 bits, of 32-bit integers or of floats; of a palette image the
            indices count. EXIF data rotate it as in :func:`read_image`.

    Returns:
        ``(H, W)``: uint8, uint16, int32 or float32.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be decoded or has colours.
    """
    with _opened(path, 'image of values') as image:
        mode = image.mode
        if mode == 'F' or mode.startswith('I'):
            ImageOps.exif_transpose(image, in_place=True)
            values = np.array(image)
            return values.astype(values.dtype.newbyteorder('='), copy=False)
        if mode not in ('P', 'L', '1'):
            raise InputError(
                f'{path}: expected one number per pixel, found an image of mode {mode}'
            )
    return read_index_image(path)


def read_mask(path: str | Path) -> np.ndarray:
    """Read the foreground of an image or array: pixels that are 1, 255, white, or probable.

    If no value is above 1 (0/1 images, 1-bit images, arrays of 0 and 1 or of probabilities), pixels
    above 0.5 are foreground, otherwise pixels above half of 255. A palette of different greys
    counts by its greys. Any other palette counts by its index: 0 or 1, or 0 or 255.

    Args:
        path: A ``.npy`` file, or an image file of one channel.

    Returns:
        uint8, ``(H, W)``, 0 or 1.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be decoded, has another pixel format, or its foreground is
            unclear: it holds 1 and 255, or a few values above 1 and none above a half.
    """
    return as_mask(path, *read_mask_values(path))


def as_mask(path: str | Path, values: np.ndarray, highest: int = 255) -> np.ndarray:
    """Find the foreground among stored values, as :func:`read_mask` describes.

    Args:
        path: The file of the values, for messages.
        values: ``(H, W)``.
        highest: The highest value of the file's format.

    Returns:
        uint8, ``(H, W)``, 0 or 1.

    Raises:
        ValueError: If the foreground is unclear.
    """
    if values.size == 0 or values.max() <= 1:
        return (values > 0.5).astype(np.uint8)
    if (values == 1).any() and np.isin(values, (0, 1, 255)).all():
        raise RangeError(
            f'{path}: expected a mask of 0 and 1, or of 0 and 255, found 0, 1 and 255, so the '
            'foreground is unclear'
        )
    mask = (values > highest / 2).astype(np.uint8)
    if not mask.any() and len(found := np.unique(values)) <= _FEW:
        raise RangeError(
            f'{path}: expected a mask of 0 and 1, or of 0 and {highest}, found the values '
            f'{", ".join(map(str, found))}, so the foreground is unclear'
        )
    return mask


def read_mask_values(path: str | Path) -> tuple[np.ndarray, int]:
    """Read the values from which :func:`read_mask` finds the foreground.

    Args:
        path: As in :func:`read_mask`.

    Returns:
        ``(H, W)`` of any type, and the highest value of the format (255 for arrays).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be decoded, or has another pixel format.
    """
    if str(path).endswith('.npy'):
        return plane(path, read_npy(path)), 255
    indices, highest, palette = _read_indices(path)
    return (indices if palette is None else _grey_of_palette(path, indices, palette)), highest


def _grey_of_palette(path: str | Path, indices: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return the greys of a palette image, or its indices if the palette has other colours."""
    used = np.unique(indices)
    if used.max(initial=0) < len(palette) and not np.ptp(palette[used], axis=-1).any():
        told = palette[np.union1d(used, 0)]  # which the greys must tell apart, 0 from the others
        if len(np.unique(told, axis=0)) == len(told):
            return palette[indices, 0]
    if used.size and not (used.max() <= 1 or np.isin(used, (0, 255)).all()):
        raise RangeError(
            f'{path}: expected a mask of 0 and 1, or of 0 and 255, found the palette indices '
            f'{", ".join(map(str, used[:4]))}{", ..." * (used.size > 4)}'
        )
    return indices


def read_colour_normals(path: str | Path) -> np.ndarray:
    """Read normals stored as colours, ``n = 2 v / 255 - 1`` with x, y, z in red, green, blue.

    Args:
        path: 8-bit colour image.

    Returns:
        float32, ``(H, W, 3)``; zero where all channels are 127 or 128.

    Raises:
        ValueError: If the file cannot be decoded.
    """
    colours = read_image(path)[..., ::-1]
    normals = colours.astype(np.float32)
    normals *= 2 / 255
    normals -= 1
    grey = (colours - np.uint8(127) <= 1).all(axis=-1)
    normals[grey] = 0
    return normals


def read_grey(path: str | Path) -> np.ndarray:
    """Read a grey image as viewers show it: 0 black to 255 white.

    Args:
        path: Image file of 8 bits or less, grey or of equal channels.

    Returns:
        uint8, ``(H, W)``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be decoded, has more bits, or is not grey.
    """
    with _opened(path, 'image') as image:
        ImageOps.exif_transpose(image, in_place=True)
        mode = image.mode
        colours = np.asarray(_as_colours(image)) if mode[0] in 'L1PR' else np.zeros((0, 0, 3))
    if colours.size == 0 or np.ptp(colours, axis=-1).any():
        raise InputError(f'{path}: expected 8-bit grey, found mode {mode} with other colours')
    return np.ascontiguousarray(colours[..., 0])
