"""Files and folders that are written completely or not at all, and never replace each other."""

import errno
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from mmbmtas.errors import OccupiedError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk, and of a user's full share of it."""

MARK = '.written_by_mmbmtas'
"""File in a folder that was written as a whole; it lists the files of it, one a line."""

_SUFFIX = '.part'


def file_place(path: str | os.PathLike[str]) -> Path:
    """Check that a file may be written to a place, before the work whose result it will hold.

    It serves as the ``type`` of an option of ``argparse``.

    Returns:
        The path.

    Raises:
        OccupiedError: A folder is there, or a device, or a file stands where its folder would.
        PermissionError: Its folder may not be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise OccupiedError(
            f'{path} is a folder, and a file never replaces a folder: expected the name of a file, '
            f'such as {path / "results.json"}'
        )
    if path.exists() and not path.is_file():
        raise OccupiedError(f'{path} is neither a file nor a name that is free for one')
    _check_above(path)
    return path


def folder_place(path: str | os.PathLike[str]) -> Path:
    """Check that ``folder_written_beside`` may write to a place.

    Returns:
        The path.

    Raises:
        OccupiedError: A file is there, or a folder with a file that is not on its mark's list.
        PermissionError: The folder above may not be written to.
    """
    path = Path(path)
    if path.is_dir():
        mark = path / MARK
        ours = set(mark.read_text().splitlines()) if mark.is_file() else set()
        foreign = sorted(_files(path) - ours - {MARK})
        if foreign:
            raise OccupiedError(
                f'{path} holds {foreign[0]}, which was not written with it: choose another '
                'folder, or move away what is there'
            )
    elif path.exists():
        raise OccupiedError(
            f'{path} is a file, and a folder never replaces a file: choose another name'
        )
    _check_above(path)
    return path


@contextmanager
def written_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write a file to, which gets its place once it is complete.

    The path has the same name, from whose extension libraries guess the format, in a new folder
    beside the place, which is removed in the end. Several processes may write the same file: the
    last one's stays. On an error or interrupt what was at the place stays. A link stays a link.

    Args:
        path: The file's place; its folder is made if missing.

    Raises:
        OccupiedError: A folder is at the place.
        OSError: The file can't be written.

    Example:
        >>> with written_beside('out/numbers.json') as beside:  # doctest: +SKIP
        ...     beside.write_text('[1, 2]')
    """
    path = _followed(file_place(path))
    with _beside(path) as beside:
        yield beside
        beside.replace(path)


@contextmanager
def folder_written_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a new folder to fill, which gets its place once it is complete.

    A folder that is at the place is replaced if this function wrote it and nothing was added since,
    which the file ``MARK`` in it tells; an empty one is, too. On an error or interrupt what was at
    the place stays.

    Raises:
        OccupiedError: Something else is at the place.
        OSError: The folder can't be written.
    """
    path = _followed(folder_place(path))
    with _beside(path) as beside:
        beside.mkdir()
        yield beside
        (beside / MARK).write_text(''.join(f'{name}\n' for name in sorted(_files(beside))))
        folder_place(path)
        old = beside.with_name(f'old-{path.name}')
        if path.exists():
            path.rename(old)
        try:
            beside.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise


def write_array(array: NDArray, path: str | os.PathLike[str]) -> None:
    """Write an array as ``.npy``; older releases of numpy don't say if a disk is full.

    Raises:
        OSError: The file can't be written.
    """
    content = io.BytesIO()
    numpy.save(content, array, allow_pickle=False)
    with written_beside(path) as beside:
        beside.write_bytes(content.getbuffer())


def write_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write a JSON object; a reader never sees half of it, nor a number that JSON lacks."""
    with written_beside(path) as beside:
        beside.write_text(json.dumps(content, indent=2, allow_nan=False) + '\n')


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left of files they wrote into a folder."""
    for leftover in folder.glob(f'.*{_SUFFIX}'):
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a path of the same name in a new folder beside, which is removed in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(_SUFFIX, f'.{path.name}.', path.parent))
    try:
        yield folder / path.name
    except OSError as error:
        if error.errno in NO_SPACE and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_above(path: Path) -> None:
    """Check that a file or folder can be made at a path, as far as can be seen."""
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise OccupiedError(f'{path} cannot be written: {above} is a file, not a folder')
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, 'this folder may not be written to', str(above))


def _followed(path: Path) -> Path:
    """Follow a link to where it points."""
    return path.resolve() if path.is_symlink() else path


def _files(folder: Path) -> set[str]:
    """List what is below a folder, but folders, relative to it."""
    paths = (path for path in folder.rglob('*') if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in paths}
