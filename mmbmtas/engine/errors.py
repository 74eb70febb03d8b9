"""Errors that the user can mend, told in one line."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End a command line with ``error: ...`` and status 1 where the user's input was wrong.

    That is what ``ValueError``, missing files and diverged losses (``FloatingPointError``) mean
    here. Other exceptions, and those of a data loader's worker (they carry their own traceback),
    come through as they are; with ``MMBMTAS_TRACEBACK=1`` in the environment all do.
    """
    try:
        yield
    except (ValueError, FloatingPointError, FileNotFoundError, NotADirectoryError) as error:
        message = ' '.join(str(error).split())
        if 'Traceback' in message or os.environ.get('MMBMTAS_TRACEBACK') == '1':
            raise
        print(f'error: {message}', file=sys.stderr)
        raise SystemExit(1) from None
