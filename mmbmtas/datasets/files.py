"""Readers of label files: an array, or one ``ValueError`` that says which file is wrong and how."""

import zlib
from pathlib import Path

import mmcv
import numpy as np
import scipy.io
from PIL import Image

from mmbmtas.errors import InputError

try:
    import h5py
except ImportError:
    h5py = None

_MAT_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OSError,
    zlib.error,
    scipy.io.matlab.MatReadError,
)


class SizeError(InputError):
    """A label has another size than its image."""


class RangeError(InputError):
    """A label holds values that it may not."""


def read_image(path: str) -> np.ndarray:
    """Read a colour image.

    Pillow decodes it, as it reports truncated files, which OpenCV fills with grey.

    Args:
        path: Image file of any format Pillow reads.

    Returns:
        BGR uint8, ``(H, W, 3)``.

    Raises:
        ValueError: If the file cannot be decoded or holds no pixel.
    """
    try:
        content = Path(path).read_bytes()
        image = mmcv.imfrombytes(content, flag='color', backend='pillow')
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f'{path}: expected a readable image, found: {error}') from error
    if image is None or image.size == 0:
        raise InputError(f'{path}: expected an image with pixels, found an empty one')
    return image


def read_index_image(path: str) -> np.ndarray:
    """Read a palette or grey image as stored: raw indices, never colours.

    Args:
        path: Image file, 8 bit, one channel.

    Returns:
        uint8, ``(H, W)``.

    Raises:
        ValueError: If the file cannot be decoded or has another pixel format.
    """
    try:
        with Image.open(path) as image:
            mode, array = image.mode, np.array(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f'{path}: expected a readable label image, found: {error}') from error
    if mode not in ('P', 'L', '1'):
        raise InputError(
            f'{path}: expected an 8-bit palette or grey image (mode P or L), found mode {mode}'
        )
    return array.astype(np.uint8, copy=False)


def read_npy(path: str) -> np.ndarray:
    """Read a numeric array saved by :func:`numpy.save`.

    Args:
        path: The ``.npy`` file.

    Returns:
        The array as stored.

    Raises:
        ValueError: If the file cannot be decoded or does not hold numbers.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise InputError(f'{path}: expected a readable npy file, found: {error}') from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in 'biuf':
        raise InputError(
            f'{path}: expected an array of numbers, '
            f'found {getattr(array, "dtype", type(array).__name__)}'
        )
    return array


def read_mat(path: str, name: str) -> np.ndarray:
    """Read one variable of a MATLAB file.

    Versions up to 7 are read by scipy; 7.3, which is HDF5, by h5py where it is installed, and then
    only for variables that are plain arrays.

    Args:
        path: The ``.mat`` file.
        name: Name of the variable.

    Returns:
        The variable with MATLAB's axes (rows first).

    Raises:
        ValueError: If the file cannot be decoded, lacks the variable, or is version 7.3 and h5py
            is not installed.
    """
    try:
        content = scipy.io.loadmat(path, variable_names=[name])
    except NotImplementedError:
        return _read_mat73(path, name)
    except _MAT_ERRORS as error:
        raise InputError(f'{path}: expected a readable MATLAB file, found: {error}') from error
    if name not in content:
        found = ', '.join(sorted(entry[0] for entry in scipy.io.whosmat(path))) or 'none'
        raise InputError(f'{path}: expected a variable {name!r}, found variables: {found}')
    return content[name]


def _read_mat73(path: str, name: str) -> np.ndarray:
    """Read one array of an HDF5 MATLAB file; the file holds its axes reversed."""
    if h5py is None:
        raise InputError(
            f'{path}: a MATLAB file of version 7.3 (HDF5) needs h5py; run `pip install h5py`, '
            'or save it again in MATLAB with the option -v7'
        )
    try:
        with h5py.File(path, 'r') as file:
            found = ', '.join(sorted(key for key in file if not key.startswith('#')))
            entry = file.get(name)
            array = entry[()].T if isinstance(entry, h5py.Dataset) else None
    except _MAT_ERRORS as error:
        raise InputError(f'{path}: expected a readable MATLAB file, found: {error}') from error
    if array is None or array.dtype.kind not in 'biuf':
        raise InputError(
            f'{path}: expected a numeric array {name!r} in this version 7.3 file, found variables: '
            f'{found}; save structures with the option -v7'
        )
    return array
