"""Reads MATLAB files of version 7.3 (HDF5) into the form that scipy gives older versions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mmbmtas.errors import InputError, MissingFileError

try:
    import h5py
except ImportError:
    h5py = None


def read_mat73(path: str | Path, name: str) -> np.ndarray:
    """Read one variable of a MATLAB file of version 7.3.

    Args:
        path: The ``.mat`` file.
        name: Name of the variable.

    Returns:
        As from :func:`scipy.io.loadmat`: numbers with MATLAB's axes, structures as structured
        arrays, cells as arrays of objects, text as strings.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If h5py is not installed, the file is damaged, or it has no such variable.
    """
    with _opened(path) as file:
        return _value(file, _entry(file, path, name))


def mat73_variables(path: str | Path) -> list[str]:
    """Name the variables of a MATLAB file of version 7.3.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If h5py is not installed, or the file is damaged.
    """
    with _opened(path) as file:
        return sorted(key for key in file if not key.startswith('#'))


def mat73_shape(path: str | Path, name: str) -> tuple[int, ...]:
    """Read the shape, with MATLAB's axes, of an array in a MATLAB file of version 7.3.

    Raises:
        ValueError: As :func:`read_mat73`.
    """
    with _opened(path) as file:
        return tuple(_entry(file, path, name).shape[::-1])


def read_mat73_page(path: str | Path, name: str, page: int) -> np.ndarray:
    """Read what an array in a MATLAB file of version 7.3 holds at one place of its last axis.

    The rest of the array, which may be larger than the memory, is not read.

    Args:
        path: The ``.mat`` file.
        name: Name of the array.
        page: Index along MATLAB's last axis, from 0.

    Returns:
        The page with MATLAB's axes.

    Raises:
        ValueError: As :func:`read_mat73`.
    """
    with _opened(path) as file:
        return np.asarray(_entry(file, path, name)[page]).T


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """Open a file; turn any fault of it into one kind of error."""
    if h5py is None:
        raise InputError(
            f'{path}: a MATLAB file of version 7.3 (HDF5) needs h5py; run `pip install h5py`, '
            'or save it again in MATLAB with the option -v7'
        )
    if not Path(path).is_file():
        raise MissingFileError(f'{path} is not a MATLAB file: there is no such file')
    try:
        with h5py.File(path, 'r') as file:
            yield file
    except InputError:
        raise
    # A damaged file may raise any of these.
    except (OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError) as error:
        raise InputError(f'{path}: expected a readable MATLAB file, found: {error}') from error


def _entry(file: Any, path: str | Path, name: str) -> Any:
    if name not in file:
        found = ', '.join(sorted(key for key in file if not key.startswith('#'))) or 'none'
        raise InputError(f'{path}: expected a variable {name!r}, found variables: {found}')
    return file[name]


def _value(file: Any, entry: Any) -> np.ndarray:
    """Read a variable, field or element; axes are reversed and text is coded in the file."""
    if isinstance(entry, h5py.Group):
        return _structure(file, entry)
    content = entry[()]
    if entry.attrs.get('MATLAB_empty'):
        return np.zeros(tuple(int(size) for size in np.ravel(content)))
    content = np.asarray(content).T
    if _holds_references(entry):  # a cell
        elements = np.empty(content.shape, object)
        for place in np.ndindex(content.shape):
            elements[place] = _value(file, file[content[place]])
        return elements
    if entry.attrs.get('MATLAB_class') == b'char':
        return np.array([''.join(map(chr, row)) for row in np.atleast_2d(content)])
    return content


def _structure(file: Any, group: Any) -> np.ndarray:
    """Read a structure as a 1 x 1 array of its fields, or an array of structures."""
    fields = [(name, object) for name in group]
    # Each field of an array of structures is an array of references; a cell also has a class.
    listed = [
        entry
        for entry in group.values()
        if isinstance(entry, h5py.Dataset)
        and _holds_references(entry)
        and 'MATLAB_class' not in entry.attrs
    ]
    if not fields or len(listed) < len(fields):
        structure = np.empty((1, 1), fields)
        for name, _ in fields:
            structure[name][0, 0] = _value(file, group[name])
        return structure
    structures = np.empty(listed[0].shape[::-1], fields)
    for name, _ in fields:
        references = group[name][()].T
        for place in np.ndindex(structures.shape):
            structures[name][place] = _value(file, file[references[place]])
    return structures


def _holds_references(entry: Any) -> bool:
    return h5py.check_ref_dtype(entry.dtype) is not None
