"""Runs command lines that depend on one another, several at once, and records what is done.

A step has a folder of its own with its log and a record, ``step.json``: its settings, whether it is
done, and the seconds that it took. What is done is not run again; what was interrupted is started
again and must continue from its own files, or replace them.
"""

import contextlib
import enum
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

from mmbmtas.errors import OccupiedError
from mmbmtas.writing import write_json

RECORD, LOG = 'step.json', 'log.txt'
_GRACE = 10.0
"""Seconds that a process has between being asked to end and being killed."""


class State(enum.Enum):
    """The state of a step."""

    WAITING = 'waiting'
    RUNNING = 'running'
    DONE = 'done'
    FAILED = 'failed'
    SKIPPED = 'skipped'
    """Something that it needs has failed."""

    @property
    def is_final(self) -> bool:
        """Whether the step will not change any more."""
        return self not in (State.WAITING, State.RUNNING)


@dataclass(frozen=True, eq=False)
class Step:
    """One command line.

    Attributes:
        name: Its folder, below that of all steps.
        kind: Steps of a kind are expected to take equally long.
        settings: What decides its result, JSON values; with other ones it is another step.
        command: Gives the words after the interpreter's name, once all that it needs is done.
        output: A file that it leaves.
        needs: The steps that must be done before.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    command: Callable[[], Sequence[str | Path]]
    output: Path
    needs: tuple['Step', ...] = ()


@dataclass(frozen=True)
class Resources:
    """What processes run on: the options of :func:`add_job_arguments`.

    Attributes:
        jobs: Processes at once.
        launch: Words before each command line.
        gpus: GPUs to deal the processes to.
    """

    jobs: int = 1
    launch: Sequence[str] = ()
    gpus: Sequence[str] = ()


def add_job_arguments(parser: ArgumentParser) -> None:
    """Add the options of tools that run many processes."""
    parser.add_argument('--jobs', type=int, default=1, help='processes at once (default: 1)')
    parser.add_argument(
        '--launch',
        default='',
        metavar='WORDS',
        help="prefix of each command line, for example 'srun -n1 --gres=gpu:1'",
    )
    parser.add_argument(
        '--gpus',
        nargs='+',
        default=[],
        metavar='ID',
        help='GPUs to assign the processes to, for example 0 1 2 3 with --jobs 4',
    )


def with_needs(steps: Sequence[Step]) -> list[Step]:
    """List steps and their prerequisites, each once, prerequisites first."""
    found: dict[str, Step] = {}

    def add(step: Step) -> None:
        if step.name not in found:
            for needed in step.needs:
                add(needed)
            found[step.name] = step

    for step in steps:
        add(step)
    return [*found.values()]


class StepFolders:
    """The folders of the steps, and the records in them.

    Args:
        root: Folder of all steps.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __getitem__(self, name: str) -> Path:
        return self.root / name

    def log(self, step: Step) -> Path:
        """Where a step's output goes."""
        return self[step.name] / LOG

    def is_done(self, step: Step) -> bool:
        """Tell whether a step was done with the same settings, and its output is there."""
        record = self._read(step)
        done = bool(record and record['done']) and not self.changes(step)
        return done and step.output.exists()

    def is_begun(self, step: Step) -> bool:
        """Tell whether a step's folder has its record."""
        return self._read(step) is not None

    def seconds(self, step: Step) -> float:
        """Seconds that a step has taken so far, all attempts together."""
        record = self._read(step)
        return record['seconds'] if record else 0.0

    def changes(self, step: Step) -> list[str]:
        """Name the settings that have changed since a step was begun."""
        record = self._read(step)
        return describe_changes(record['settings'], step.settings) if record else []

    def write(self, step: Step, seconds: float, done: bool) -> None:
        """Write the record of a step."""
        self[step.name].mkdir(parents=True, exist_ok=True)
        record = {'settings': dict(step.settings), 'done': done, 'seconds': round(seconds, 3)}
        write_json(record, self[step.name] / RECORD)

    def forget(self, step: Step) -> None:
        """Remove a step's folder, if it was begun."""
        if self.is_begun(step):
            shutil.rmtree(self[step.name])

    def check(self, step: Step) -> None:
        """Check that a step's folder is its own, or free.

        Raises:
            OccupiedError: It holds something, but no record.
        """
        folder = self[step.name]
        if not self.is_begun(step) and folder.is_dir() and (found := sorted(folder.iterdir())):
            raise OccupiedError(
                f'{found[0]} is in the way of the step {step.name}, which has not begun: move it '
                'away, or choose another folder'
            )

    def tail(self, step: Step, count: int = 8) -> list[str]:
        """Return the last lines of a step's log."""
        path = self.log(step)
        if not path.exists():
            return []
        with path.open('rb') as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            text = file.read().decode(errors='replace').replace('\r', '\n')
        lines = [line.rstrip() for line in text.splitlines()]
        return [line for line in lines if line][-count:]

    def _read(self, step: Step) -> dict[str, Any] | None:
        path = self[step.name] / RECORD
        return json.loads(path.read_text()) if path.exists() else None


def lock_folder(folder: Path) -> TextIO:
    """Wait until no other process works in the folder; the lock ends with the last that has it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / '.lock').open('w')
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f'Another process works in {folder}: waiting until it ends', flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def describe_changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = '') -> list[str]:
    """Name the entries in which two settings differ, with both values."""
    new = json.loads(json.dumps(new))
    found = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += describe_changes(before, after, f'{prefix}{key}.')
        elif before != after:
            found.append(f'{prefix}{key}: {before!r}, now {after!r}')
    return found


class Observer(Protocol):
    """Receives the progress of the steps."""

    def update(self, scheduler: 'Scheduler') -> None:
        """Called several times a second."""

    def changed(self, scheduler: 'Scheduler', step: Step) -> None:
        """Called when a step has begun, ended or been given up."""


@dataclass
class _Job:
    step: Step
    process: subprocess.Popen
    slot: int
    start: float = field(default_factory=time.monotonic)
    before: float = 0.0

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.start


class Scheduler:
    """Runs steps as soon as their prerequisites are done, in the order of the list.

    A step that fails takes along those that need it; the others go on.

    Args:
        steps: The steps, with all that they need.
        folders: Where they work.
        jobs: Processes at once.
        launch: Words to put before each command line, such as ``srun -n1``.
        gpus: GPUs to deal the processes to, in turn; by default each sees all of them.
        lock: File whose lock the processes hold as well, so that one which outlives this process
            is waited for.

    Raises:
        OccupiedError: A step's folder holds something else.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        folders: StepFolders,
        jobs: int = 1,
        launch: Sequence[str] = (),
        gpus: Sequence[str] = (),
        lock: TextIO | None = None,
    ) -> None:
        for step in steps:
            folders.check(step)
        self.steps, self.folders = list(steps), folders
        self.jobs, self.launch, self.gpus, self.lock = jobs, [*launch], [*gpus], lock
        self.states = {
            step.name: State.DONE if folders.is_done(step) else State.WAITING for step in self.steps
        }
        self._running: list[_Job] = []

    def elapsed(self, step: Step) -> float:
        """Seconds that a step has taken so far."""
        job = next((job for job in self._running if job.step is step), None)
        return job.seconds if job else self.folders.seconds(step)

    def run(self, observer: Observer, interval: float = 0.2) -> None:
        """Run until all steps are done; however this ends, no process is left running."""
        try:
            while not all(state.is_final for state in self.states.values()):
                self._give_up(observer)
                self._start(observer)
                observer.update(self)
                self._reap(observer)
                if self._running:
                    time.sleep(interval)
        finally:
            self._stop()

    def _give_up(self, observer: Observer) -> None:
        """Skip what can no longer be done."""
        for step in self.steps:
            needed = [self.states[other.name] for other in step.needs]
            lost = State.FAILED in needed or State.SKIPPED in needed
            if lost and self.states[step.name] is State.WAITING:
                self.states[step.name] = State.SKIPPED
                observer.changed(self, step)

    def _start(self, observer: Observer) -> None:
        """Begin as many steps as there is room for."""
        for step in self.steps:
            if len(self._running) >= self.jobs:
                return
            ready = all(self.states[other.name] is State.DONE for other in step.needs)
            if ready and self.states[step.name] is State.WAITING:
                self._begin(step)
                observer.changed(self, step)

    def _begin(self, step: Step) -> None:
        seconds = self.folders.seconds(step)
        self.folders.write(step, seconds, done=False)
        slot = min({*range(self.jobs)} - {job.slot for job in self._running})
        environment = {'OMP_NUM_THREADS': '1', **os.environ}
        if self.gpus:
            environment['CUDA_VISIBLE_DEVICES'] = self.gpus[slot % len(self.gpus)]
        command = [*self.launch, sys.executable, *(str(word) for word in step.command())]
        with self.folders.log(step).open('a') as log:
            log.write(f'$ {shlex.join(command)}\n')
            log.flush()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for us; we end the process and its workers
                pass_fds=[self.lock.fileno()] if self.lock else [],
            )
        self.states[step.name] = State.RUNNING
        self._running.append(_Job(step, process, slot, before=seconds))

    def _reap(self, observer: Observer) -> None:
        """Note which processes have ended, and how."""
        for job in [job for job in self._running if job.process.poll() is not None]:
            self._running.remove(job)
            good = job.process.returncode == 0
            if good and not job.step.output.exists():
                good = False
                with self.folders.log(job.step).open('a') as log:
                    log.write(f'error: it ended well, but has not written {job.step.output}\n')
            self.folders.write(job.step, job.seconds, done=good)
            self.states[job.step.name] = State.DONE if good else State.FAILED
            observer.changed(self, job.step)

    def _stop(self) -> None:
        """End the processes that still run, and what they have started."""
        for job in self._running:
            _signal(job.process, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        for job in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                job.process.wait(max(0.0, deadline - time.monotonic()))
            _signal(job.process, signal.SIGKILL)
            job.process.wait()
            self.folders.write(job.step, job.seconds, done=False)
            self.states[job.step.name] = State.WAITING
        self._running.clear()


def _signal(process: subprocess.Popen, number: signal.Signals) -> None:
    """Send a signal to a process and all that it has started; it leads a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
