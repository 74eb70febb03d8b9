"""Progress of tools: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from datetime import timedelta
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as _Bar

_INTERVAL = 10.0


class Progress:
    """Shows on standard error how much work is done; use it as a context manager.

    Where the standard error is no terminal, such as in a log, it is a line every ten seconds and
    one at the end, however many items there are.

    Args:
        total: Number of items.
        what: What is being done, such as ``checking``.
        file: Where to show it instead.

    Example:
        >>> with Progress(2, 'counting', sys.stdout) as progress:
        ...     for _ in range(2):
        ...         progress.advance()
        counting: 2/2 in 0:00:00
    """

    def __init__(self, total: int, what: str, file: TextIO | None = None) -> None:
        self.total = total
        self.what = what
        self.done = 0
        self._console = Console(file=file or sys.stderr, soft_wrap=True, highlight=False)
        self._bar: _Bar | None = None
        self._began = self._told = time.monotonic()

    def __enter__(self) -> 'Progress':
        self._began = self._told = time.monotonic()
        if self._console.is_terminal:
            columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn()
            self._bar = _Bar(*columns, TimeRemainingColumn(), console=self._console)
            self._bar.add_task(self.what, total=self.total)
            self._bar.start()
        return self

    def advance(self, count: int = 1) -> None:
        """Record that some more items are done."""
        self.done += count
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], count)
        elif self.done < self.total and time.monotonic() - self._told >= _INTERVAL:
            self._told = time.monotonic()
            left = (self._told - self._began) / self.done * (self.total - self.done)
            self._tell(f'{self.done / self.total:.0%}, {_clock(left)} left')

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        else:
            self._tell(f'in {_clock(time.monotonic() - self._began)}')

    def _tell(self, rest: str) -> None:
        line = f'{self.what}: {self.done}/{self.total} {rest}'
        self._console.print(line, markup=False)


def _clock(seconds: float) -> str:
    """Write a duration as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))
