"""Process many files in several processes, and show the progress."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

import cv2

from mmbmtas.errors import InputError
from mmbmtas.progress import Progress

T = TypeVar('T')
R = TypeVar('R')


def run_parallel(
    work: Callable[[T], R], tasks: Sequence[T], jobs: int = 1, what: str = 'done'
) -> Iterator[R]:
    """Do all tasks, in this process or several, and show the progress on the standard error.

    An interrupt or an error in one task ends the processes after the task each is at.

    Args:
        work: What to do with a task; it and its results must be picklable for several processes.
        tasks: The tasks.
        jobs: Number of processes.
        what: What is being done, for the line that shows it.

    Yields:
        The results in the order in which they are ready.

    Raises:
        ValueError: If there is less than one process.
    """
    if jobs < 1:
        raise InputError(f'jobs must be at least 1, got {jobs}')
    results = map(work, tasks) if min(jobs, len(tasks)) < 2 else _pooled(work, tasks, jobs)
    with Progress(len(tasks), what) as progress:
        for result in results:
            progress.advance()
            yield result


def _pooled(work: Callable[[T], R], tasks: Sequence[T], jobs: int) -> Iterator[R]:
    """The results of several processes."""
    # Unlike multiprocessing.Pool this one tells when the system kills one of its processes.
    with ProcessPoolExecutor(min(jobs, len(tasks)), initializer=_start_process) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start_process() -> None:
    """Leave Ctrl-C to the main process and end with it, however it ends; one thread a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(0)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
