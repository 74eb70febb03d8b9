"""Errors that the user can mend, told in one line."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mmbmtas.writing import NO_SPACE


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End a command line with ``error: ...`` and status 1 where the user's input was wrong.

    That is what ``ValueError``, missing files, full disks, dead workers (``ChildProcessError``) and
    diverged losses (``FloatingPointError``) mean here, in a data loader's worker too. Other
    exceptions come through as they are; with ``MMBMTAS_TRACEBACK=1`` in the environment all do.
    """
    try:
        yield
    except (ValueError, FloatingPointError, OSError) as error:
        is_of_system = isinstance(error, OSError) and not _is_of_user(error)
        if is_of_system or os.environ.get('MMBMTAS_TRACEBACK') == '1':
            raise
        message = ' '.join(_without_traceback(str(error), type(error)).split())
        print(f'error: {message}', file=sys.stderr)
        raise SystemExit(1) from None


def _is_of_user(error: OSError) -> bool:
    """Tell whether files are missing, a disk is full or a process has died, not something rarer."""
    kinds = (FileNotFoundError, NotADirectoryError, ChildProcessError)
    return isinstance(error, kinds) or error.errno in NO_SPACE


def _without_traceback(message: str, kind: type[Exception]) -> str:
    """Return what a worker raised: torch puts its traceback in front, and its type."""
    if 'Traceback (most recent call last)' not in message:
        return message
    return re.split(rf'\n[\w.]*{kind.__name__}: ', message)[-1]
