"""Unpack an untrusted archive into a folder, and write nothing outside it."""

import lzma
import os
import posixpath
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, cast

from mmbmtas.errors import InputError
from mmbmtas.progress import Progress

GIB = 1 << 30
DEFAULT_LIMIT = 64 * GIB
MAX_MEMBERS = 300_000

_CHUNK = 1 << 20
_LAST_TIME = (1 << 32) - 1
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)


def unpack(archive: str | Path, folder: Path, limit: int = DEFAULT_LIMIT) -> None:
    """Unpack a tar archive, of any compression Python reads, into a new folder.

    Only regular files and folders are made, by plain writing: no link, owner, or permission of the
    archive reaches the disk. A link to a file inside becomes a copy of it. On any error the folder
    is removed again. This does not need the extraction filters of newer Pythons and is stricter.

    Args:
        archive: The archive.
        folder: Folder to make; its parent exists.
        limit: Most bytes that the files may have together.

    Raises:
        FileExistsError: If the folder exists.
        FileNotFoundError: If the archive does not.
        ValueError: If the archive is damaged, or holds a path or a link that leads out of the
            folder, a device or pipe, or more than allowed.
    """
    with open(archive, 'rb') as file:
        folder.mkdir()
        try:
            size = -(-os.fstat(file.fileno()).st_size // _CHUNK)
            with (
                tarfile.open(fileobj=file, mode='r:*') as tar,
                Progress(size, f'unpacking {folder.name}, MiB') as progress,
            ):
                _unpack(tar, file, folder, limit, progress)
        # Whatever ends it, half a dataset must not stay.
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            # bz2 and gzip report damage as an OSError that is none of the system's.
            damaged = isinstance(error, OSError) and error.errno is None
            if damaged or isinstance(error, _DAMAGED):
                raise InputError(
                    f'{archive}: expected a whole tar archive, found: {error}'
                ) from error
            if isinstance(error, ValueError):
                raise InputError(f'{archive}: {error}') from error
            raise


def _unpack(
    tar: tarfile.TarFile, file: IO[bytes], folder: Path, limit: int, progress: Progress
) -> None:
    links = []
    left = limit
    for number, member in enumerate(tar):
        if number >= MAX_MEMBERS:
            raise InputError(f'expected {MAX_MEMBERS} files at most')
        place = folder / safe_path(member.name)
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            left -= member.size
            _write_member(tar, member, place, left, limit)
        elif member.issym() or member.islnk():
            links.append((member.name, place, folder / _link_target(member)))
        else:
            raise InputError(f'{member.name!r} is a device or pipe: expected files and folders')
        if (done := file.tell() // _CHUNK) > progress.done:
            progress.advance(done - progress.done)
    _read_to_the_end(cast('IO[bytes]', tar.fileobj), limit)
    for name, place, target in links:
        if not target.is_file():
            raise InputError(f'{name!r} links to something that is not a file of the archive')
        left -= target.stat().st_size
        _check_left(left, limit)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(target, place)


def safe_path(name: str) -> PurePosixPath:
    """Give a path of an archive, relative and without ``..``.

    Args:
        name: The path as the archive has it.

    Raises:
        ValueError: If it leads out of the folder, or would on some system.
    """
    path = PurePosixPath(name)
    drive = len(name) > 1 and name[1] == ':'
    if path.is_absolute() or '..' in path.parts or '\\' in name or '\0' in name or drive:
        raise InputError(f'{name!r} leads out of the folder: expected paths inside')
    return path


def _link_target(member: tarfile.TarInfo) -> PurePosixPath:
    """Path inside the archive that a link leads to."""
    target = member.linkname
    if member.issym():  # relative to the link; a hard link's is relative to the archive
        target = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), target))
    try:
        return safe_path(target)
    except ValueError as error:
        raise InputError(
            f'{member.name!r} links out of the folder, to {member.linkname!r}'
        ) from error


def _write_member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path, left: int, limit: int
) -> None:
    """Write a regular file, unless it exceeds what is left of the limit."""
    _check_left(left, limit)
    place.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None  # since it is a regular file
    with source, place.open('wb') as target:
        shutil.copyfileobj(source, target, _CHUNK)
    # A second unpacking finds the cache of the first fresh. Times of any size may stand there.
    seconds = min(max(int(member.mtime), 0), _LAST_TIME)
    os.utime(place, (seconds, seconds))


def _read_to_the_end(content: IO[bytes], limit: int) -> None:
    """Read what follows the last file: a compressed archive ends with its checksum."""
    left = limit
    while rest := content.read(_CHUNK):
        left -= len(rest)
        _check_left(left, limit)


def _check_left(left: int, limit: int) -> None:
    if left < 0:
        raise InputError(
            f'unpacks to more than {limit / GIB:g} GiB: if you trust it, allow more with --max-gib'
        )
