"""Reads arrays from files of numpy and of MATLAB."""

import zlib
from pathlib import Path

import numpy as np
import scipy.io

from mmbmtas.errors import InputError, MissingFileError

from .hdf5 import read_mat73

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


def plane(path: str | Path, array: np.ndarray) -> np.ndarray:
    """Turn an array of numbers into a map; a single channel is dropped.

    Args:
        path: The file of the array, for messages.
        array: ``(H, W)`` or ``(H, W, 1)``.

    Returns:
        ``(H, W)``, of the same type.

    Raises:
        ValueError: If it has another shape, or does not hold numbers.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in 'biuf':
        raise InputError(
            f'{path}: expected numbers of shape (H, W), found {array.dtype} of shape {array.shape}'
        )
    return array


def read_npy(path: str | Path) -> np.ndarray:
    """Read a numeric array saved by :func:`numpy.save`.

    Args:
        path: The ``.npy`` file.

    Returns:
        The array as stored.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be decoded or does not hold numbers.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise MissingFileError(f'{path} is not an npy file: there is no such file') from error
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise InputError(f'{path}: expected a readable npy file, found: {error}') from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in 'biuf':
        raise InputError(
            f'{path}: expected an array of numbers, '
            f'found {getattr(array, "dtype", type(array).__name__)}'
        )
    return array


def read_mat(path: str | Path, name: str) -> np.ndarray:
    """Read one variable of a MATLAB file.

    scipy reads versions up to 7; h5py, if it is installed, reads version 7.3, which is HDF5.

    Args:
        path: The ``.mat`` file.
        name: Name of the variable.

    Returns:
        The variable with MATLAB's axes (rows first).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be decoded, does not have the variable, or has version 7.3
            and h5py is not installed.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path} is not a MATLAB file: there is no such file')
    try:
        content = scipy.io.loadmat(path, variable_names=[name])
    except NotImplementedError:
        return read_mat73(path, name)
    except _MAT_ERRORS as error:
        raise InputError(f'{path}: expected a readable MATLAB file, found: {error}') from error
    if name not in content:
        found = ', '.join(mat_variables(path)) or 'none'
        raise InputError(f'{path}: expected a variable {name!r}, found variables: {found}')
    return content[name]


def mat_variables(path: str | Path) -> list[str]:
    """Name the variables of a MATLAB file of version 4 to 7.

    Raises:
        ValueError: If the file cannot be decoded.
    """
    try:
        return sorted(entry[0] for entry in scipy.io.whosmat(path))
    except (NotImplementedError, *_MAT_ERRORS) as error:
        raise InputError(f'{path}: expected a readable MATLAB file, found: {error}') from error
