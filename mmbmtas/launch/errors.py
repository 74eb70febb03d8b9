"""Prints errors that a user can fix in one line."""

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError, URLError

import torch

from mmbmtas.engine.failures import told_by_worker
from mmbmtas.errors import UserError
from mmbmtas.launch.library_errors import mistake_seen_by_library
from mmbmtas.writing import NO_SPACE

_VARIABLE = 'MMBMTAS_TRACEBACK'
_HINT = f'({_VARIABLE}=1 shows where)'

_FIXABLE = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EFBIG, errno.ETXTBSY),
    *(errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ESTALE),
    *NO_SPACE,
}
"""What the system refuses because of a name, a permission or a limit."""

_FIXABLE_CLASSES = (
    *(FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError),
    PermissionError,
)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End a command line with ``error: ...`` and status 1 where the user can fix what was wrong.

    Where an error comes from decides, not its type: the classes of :mod:`mmbmtas.errors`, files
    that the system refuses, and what a library finds wrong with a config or a checkpoint, in a data
    loader's worker too. Any other exception comes through as it is, with its traceback; with
    ``MMBMTAS_TRACEBACK=1`` in the environment all do.
    """
    try:
        yield
    except Exception as error:
        message = _message_for_user(error)
        if message is None or os.environ.get(_VARIABLE) == '1':
            raise
        print(f'error: {" ".join(message.split())} {_HINT}', file=sys.stderr)
        raise SystemExit(1) from None


def _message_for_user(error: Exception) -> str | None:
    """Return what the user can fix, None where that is unlikely."""
    if isinstance(error, UserError):
        return told_by_worker(error)
    if isinstance(error, OSError) and (message := _refusal_of_system(error)) is not None:
        return message
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return f'{error}. A smaller total_batch_size needs less memory'
    return mistake_seen_by_library(error)


def _refusal_of_system(error: OSError) -> str | None:
    """Say which file the system refused and why; None for failures of other kinds."""
    if isinstance(error, HTTPError):
        return f'{error.url}: {error}'
    if isinstance(error, URLError):
        return f'a download failed: {error.reason}'
    number, told = error.errno, error.strerror or told_by_worker(error)
    if number is None and (found := re.match(r'\[Errno (\d+)\] (.+)', told, re.DOTALL)):
        number, told = int(found[1]), found[2]  # from a worker only the text comes
    if number not in _FIXABLE and not (number is None and isinstance(error, _FIXABLE_CLASSES)):
        return None
    if number == errno.EEXIST and error.filename and os.path.isfile(error.filename):
        told = 'is a file, expected a folder'
    names = ' -> '.join(str(name) for name in (error.filename, error.filename2) if name is not None)
    if not names and told == os.strerror(number or 0) and number in NO_SPACE:
        told += ': make room (df -h shows what is full, /dev/shm included)'
    return f'{names}: {told}' if names else told
