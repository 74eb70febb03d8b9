"""Files and folders that readers find whole or not at all."""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk, and of a user's full share of it."""

_SUFFIX = '.part'


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """Give a path to write a file or folder to, which gets its place once it is complete.

    The path has the same name, from whose extension libraries guess the format, in a new folder
    beside the place, which is removed in the end. Several processes may write the same file: the
    last one's stays. On an error or interrupt what was at the place stays.

    Args:
        path: The file's or folder's place; its folder is made if missing.

    Raises:
        OSError: If its folder can't be written to.

    Example:
        >>> with written_beside('out/numbers.json') as beside:  # doctest: +SKIP
        ...     beside.write_text('[1, 2]')
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(_SUFFIX, f'.{path.name}.', path.parent))
    try:
        yield folder / path.name
        _move(folder / path.name, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left of files they wrote into a folder."""
    for leftover in folder.glob(f'.*{_SUFFIX}'):
        shutil.rmtree(leftover, ignore_errors=True)


def _move(beside: Path, path: Path) -> None:
    """Rename over a file; what is or meets a folder can't be replaced, and gives way first."""
    old = beside.with_name(f'old-{path.name}')
    if path.is_dir() or (beside.is_dir() and path.exists()):
        path.rename(old)
    try:
        beside.replace(path)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise
