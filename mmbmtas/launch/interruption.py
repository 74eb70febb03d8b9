"""Command lines that can be interrupted: the same command continues."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from mmbmtas.launch.errors import one_line_errors


def run_resumable(main: Callable[[], int | None], name: str) -> NoReturn:
    """Run a command line, and end the process with its status.

    Errors that a user can fix end it in one line (:func:`one_line_errors`). Ctrl-C ends it with
    status 1 and says that the same command continues. A polite kill (SIGTERM) ends it with status
    143. Both let the command line end its own processes first.

    Args:
        main: The command line; returns its exit status, None if all is well.
        name: Name of the tool, for the message.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with one_line_errors():
        try:
            sys.exit(main())
        except KeyboardInterrupt:
            sys.exit(f'{name}: interrupted; the same command continues')
