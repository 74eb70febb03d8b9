"""Runs the stages of a long job so that the same command continues it after an interruption."""

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from mmbmtas.errors import InputError, OccupiedError
from mmbmtas.writing import remove_leftovers, written_beside


class Stages:
    """A folder in which a job of several stages works, and the record of those that are done.

    The record is ``stages.json``: the settings that decide the job's results, and the seconds that
    each finished stage took. A stage that is on record is not run again; one that was interrupted
    is run again and must continue from its own files, or replace them.

    Args:
        folder: Where the job works; made if missing.
        settings: What decides the results: numbers, strings, lists, booleans.
        overwrite: Whether to empty a folder that a job of other settings has used.
        contents: Names of all that the job makes in the folder; only those are ever removed.

    Raises:
        OccupiedError: ``overwrite`` is on, and the folder holds something else.
        ValueError: The folder holds something else, or a job of other settings and ``overwrite``
            is off.
    """

    def __init__(
        self,
        folder: str | Path,
        settings: Mapping[str, Any],
        overwrite: bool = False,
        contents: Collection[str] = (),
    ) -> None:
        self.folder = Path(folder)
        self._path = self.folder / 'stages.json'
        self._lock = lock_folder(self.folder)
        remove_leftovers(self.folder)
        if overwrite and self._path.exists():
            _empty(self.folder, contents, last=self._path)
        self.seconds = self._read(dict(settings))

    def _read(self, settings: dict[str, Any]) -> dict[str, float]:
        """Return the seconds of the stages that are done; begin the record if there is none."""
        if not self._path.exists():
            if found := sorted(p.name for p in self.folder.iterdir() if p.name != '.lock'):
                raise InputError(
                    f'{self.folder} holds {found[0]!r} but no record of a job, stages.json: choose '
                    'another folder, or empty it'
                )
            write_json({'settings': settings, 'seconds': {}}, self._path)
        record = json.loads(self._path.read_text())
        if record['settings'] != json.loads(json.dumps(settings)):
            raise InputError(
                f'{self.folder} holds a job with other settings, {record["settings"]}, not '
                f'{settings}: choose another folder, or replace it with --overwrite'
            )
        self._settings = settings
        return record['seconds']

    def run(self, name: str, work: Callable[[], None]) -> None:
        """Run a stage, unless it is done, and put it on record."""
        if name in self.seconds:
            print(f'== {name}: done before', flush=True)
            return
        print(f'== {name}', flush=True)
        start = time.monotonic()
        work()
        self.seconds[name] = round(time.monotonic() - start, 1)
        write_json({'settings': self._settings, 'seconds': self.seconds}, self._path)

    def call(self, command: Sequence[str | Path], stdout: TextIO | None = None) -> None:
        """Print a Python command line and run it; it ends with this process, if it can.

        A command that outlives this process, because that was killed outright, keeps the folder
        locked: the job's next process waits for it.

        Raises:
            subprocess.CalledProcessError: The command failed.
        """
        words = [str(word) for word in command]
        print(f'$ python {shlex.join(words)}', flush=True)
        # On networks as small as a demo's, threads mostly wait for one another, and they do so
        # busily: where other processes want the cores, two take many times longer than one.
        environment = {'OMP_NUM_THREADS': '1', **os.environ}
        subprocess.run(
            [sys.executable, *words],
            check=True,
            stdout=stdout,
            env=environment,
            pass_fds=[self._lock.fileno()],
        )


def write_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write a JSON object; a reader never sees half of it, nor a number that JSON lacks."""
    with written_beside(path) as beside:
        beside.write_text(json.dumps(content, indent=2, allow_nan=False) + '\n')


def lock_folder(folder: Path) -> TextIO:
    """Wait until no other process works in the folder; the lock ends with the last that has it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / '.lock').open('w')
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f'Another process works in {folder}: waiting for its end', flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _empty(folder: Path, contents: Collection[str], last: Path) -> None:
    """Remove what a job made in a folder; the record goes last, it says whose they are."""
    foreign = sorted({path.name for path in folder.iterdir()} - {'.lock', last.name, *contents})
    if foreign:
        raise OccupiedError(
            f'{folder} holds {foreign[0]}, which no earlier run made: choose another folder, or '
            'move that away'
        )
    for name in contents:
        remove(folder / name)
    last.unlink()


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
