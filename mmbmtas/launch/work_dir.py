"""Locks a work directory, which belongs to one training at a time."""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from mmbmtas.errors import OccupiedError


@contextmanager
def sole_training(work_dir: str | Path) -> Iterator[None]:
    """Keep other trainings out of a work directory, on all ranks of this one.

    Only the main process holds the lock, and the system releases it when that process ends, even if
    its data loader's workers live on. So a killed training can start again at once.

    Raises:
        OccupiedError: Another training uses the directory, or the path is a file.
    """
    outcome: list[Exception | None] = [None]
    lock: TextIO | None = None
    if is_main_process():
        try:
            lock = _lock(Path(work_dir))
        except OSError as error:
            outcome = [error]
    broadcast_object_list(outcome)
    if outcome[0] is not None:
        raise outcome[0]
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


def _lock(folder: Path) -> TextIO:
    """Lock a folder by a record lock, which forked processes do not inherit, unlike flock's."""
    if folder.exists() and not folder.is_dir():
        raise OccupiedError(f'work_dir = {folder} is a file: expected a folder, or a new name')
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / '.lock').open('a+')
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        owner = file.read().strip() or 'unknown'
        file.close()
        raise OccupiedError(
            f'another training is using work_dir = {folder} ({owner}): wait until it ends, or '
            'choose another --work-dir'
        ) from error
    except OSError as error:
        print_log(
            f'{folder} cannot be locked ({error}): do not start another training there.',
            logger='current',
            level=logging.WARNING,
        )
        return file
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    file.flush()
    return file
