"""The study of a search: where trials are stored, which process runs which, and the results."""

import fcntl
import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mmbmtas.cells.sampler import (
    CELL,
    ERROR,
    KEY,
    PARENT,
    PLACE,
    Places,
    finished_trials,
    is_finished,
)
from mmbmtas.errors import InputError
from mmbmtas.writing import written_beside

JOURNAL, EXPORT = 'journal.log', 'trials.jsonl'
MAX_DEATHS = 2
"""Processes that may die with the trial of a place until it is given up."""
_HEARTBEAT, _GRACE = 20, 60
"""Seconds: how often a process says that it lives, and how long it may be silent."""


@dataclass(frozen=True)
class Record:
    """A line of ``trials.jsonl``; docs/cells.md explains the entries."""

    trial: int
    generation: int
    name: str | None
    cell: list[dict[str, Any]] | None
    key: str | None
    parent: int | None
    seed: int
    rung: int
    iterations: int
    score: float | None
    metrics: dict[str, float]
    madds: int | None
    params: int | None
    milliseconds: float | None
    projection: list[float]
    seconds: float | None
    status: str
    error: str | None

    @property
    def is_scored(self) -> bool:
        """Whether it was trained to the end."""
        return self.status == 'done'


class _FileLock(JournalFileOpenLock):
    """A lock that ends with its process, however that ends."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._file: TextIO | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._file = self._path.open('w')
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def open_storage(folder: Path, url: str | None = None) -> BaseStorage:
    """Open the storage of the trials: a journal file in the folder, or a database.

    Raises:
        InputError: The database can't be reached.
    """
    if url is None:
        journal = folder / JOURNAL
        return JournalStorage(JournalFileBackend(str(journal), _FileLock(folder / '.journal.lock')))
    try:
        return RDBStorage(url, heartbeat_interval=_HEARTBEAT, grace_period=_GRACE)
    except Exception as error:  # of SQLAlchemy and of whatever driver the address names
        raise InputError(f'--storage {url}: {str(error).splitlines()[0]}') from error


def open_study(
    storage: BaseStorage, name: str, settings: Mapping[str, Any], objectives: int
) -> optuna.Study:
    """Open the study, or create it.

    Args:
        storage: Where it is kept.
        name: Its name there.
        settings: What decides its results.
        objectives: 1, or 2 for the score and multiply-adds.

    Raises:
        InputError: It was begun with other settings.
    """
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=[StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE][:objectives],
        load_if_exists=True,
    )
    plain = json.loads(json.dumps(dict(settings), default=str))
    found = study.user_attrs.get('settings')
    if found is None:
        study.set_user_attr('settings', plain)
    elif found != plain:
        changed = [key for key in {*found, *plain} if found.get(key) != plain.get(key)]
        raise InputError(
            f'the search was begun with other settings ({", ".join(sorted(changed))}): choose '
            'another output folder, or leave them as they were'
        )
    return study


class Desk:
    """Assigns the places of a search to the processes that work on it.

    Args:
        study: The study.
        places: Where trials stand.
        trials: Number of places.
        waits: Whether a generation waits for all earlier ones, as ``NearBest`` needs it; the
            references are waited for in any case.
    """

    def __init__(self, study: optuna.Study, places: Places, trials: int, waits: bool) -> None:
        self.study, self.places, self.trials, self.waits = study, places, trials, waits

    def is_finished(self) -> bool:
        """Tell whether all places are finished."""
        return len(self._ended()) >= self.trials

    def claim(self, trial: optuna.Trial, process: str, interval: float = 0.5) -> int | None:
        """Take the first free place whose turn it is; None if all places are finished.

        Two processes may take one at the same moment. Both then compute the same, and the first
        counts.

        Args:
            trial: The trial that the process has begun.
            process: The process's name.
            interval: Seconds between two looks, where others must finish first.
        """
        trial.set_user_attr('process', process)
        while True:
            with warnings.catch_warnings():  # the function is new to Optuna
                warnings.simplefilter('ignore', optuna.exceptions.ExperimentalWarning)
                optuna.storages.fail_stale_trials(self.study)
            ended = self._ended()
            taken = {
                other.user_attrs[PLACE]
                for other in self.study.get_trials(deepcopy=False)
                if other.state == TrialState.RUNNING and PLACE in other.user_attrs
            }
            if len(ended) >= self.trials:
                return None
            for place in range(self.trials):
                if place not in ended | taken and self._is_ready(place, ended):
                    trial.set_user_attr(PLACE, place)
                    return place
            time.sleep(interval)

    def _ended(self) -> set[int]:
        """Places that are finished, or given up."""
        deaths = self.deaths()
        given_up = {place for place, count in deaths.items() if count >= MAX_DEATHS}
        return {place for place in {*finished_trials(self.study)} | given_up if place < self.trials}

    def deaths(self) -> dict[int, int]:
        """Count the processes that died with the trial of each place."""
        found: dict[int, int] = {}
        noted = self.study.user_attrs
        for trial in self.study.get_trials(deepcopy=False):
            place = trial.user_attrs.get(PLACE)
            if place is not None and trial.state == TrialState.FAIL and not is_finished(trial):
                stopped = 'stopped' in trial.user_attrs or _stopped(trial) in noted
                found[place] = found.get(place, 0) + (not stopped)
        return found

    def _is_ready(self, place: int, ended: set[int]) -> bool:
        """Tell whether all that a place's trial depends on is finished."""
        own = self.places.generation_of(place)
        first = own if self.waits else min(own, 2)
        return all(
            other in ended
            for other in range(self.trials)
            if self.places.generation_of(other) < first
        )

    def release(self, process: str | None = None) -> None:
        """Give back the places of processes that have ended.

        Args:
            process: The process that has died, which counts against its trial. By default all that
                are on record: they were stopped from outside.
        """
        for trial in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if process is None:
                self.study.set_user_attr(_stopped(trial), True)
            if process in (None, trial.user_attrs.get('process')):
                self.study.tell(trial.number, state=TrialState.FAIL)

    def records(self, seed: int) -> list[Record]:
        """Return the record of each finished place, in order."""
        found = [self._record(place, trial, seed) for place, trial in self._finished().items()]
        deaths = self.deaths()
        ended = {record.trial for record in found}
        for place, count in deaths.items():
            if count >= MAX_DEATHS and place not in ended and place < self.trials:
                error = f'its process died {count} times, as for lack of memory'
                found.append(self._empty(place, seed, error))
        return sorted(found, key=lambda record: record.trial)

    def _finished(self) -> dict[int, FrozenTrial]:
        found = finished_trials(self.study)
        return {place: trial for place, trial in found.items() if place < self.trials}

    def _record(self, place: int, trial: FrozenTrial, seed: int) -> Record:
        attrs = trial.user_attrs
        status = {
            TrialState.COMPLETE: 'done',
            TrialState.PRUNED: attrs.get('status', 'pruned'),
        }.get(trial.state, 'failed')
        return Record(
            trial=place,
            generation=self.places.generation_of(place),
            name=attrs.get('name'),
            cell=attrs.get(CELL),
            key=attrs.get(KEY),
            parent=attrs.get(PARENT),
            seed=seed,
            rung=attrs.get('rung', 0),
            iterations=attrs.get('iterations', 0),
            score=attrs.get('score'),
            metrics=attrs.get('metrics', {}),
            madds=attrs.get('madds'),
            params=attrs.get('params'),
            milliseconds=attrs.get('milliseconds'),
            projection=attrs.get('projection', []),
            seconds=attrs.get('seconds'),
            status=status,
            error=attrs.get(ERROR),
        )

    def _empty(self, place: int, seed: int, error: str) -> Record:
        return Record(
            trial=place,
            generation=self.places.generation_of(place),
            **dict.fromkeys(('name', 'cell', 'key', 'parent', 'score', 'madds', 'params'), None),
            **dict.fromkeys(('milliseconds', 'seconds'), None),
            seed=seed,
            rung=0,
            iterations=0,
            metrics={},
            projection=[],
            status='failed',
            error=error,
        )


def _stopped(trial: FrozenTrial) -> str:
    """Name under which a study notes that a trial's process was stopped from outside.

    Optuna lets only the process that runs a trial write to the trial itself.
    """
    return f'stopped {trial.number}'


def export(records: list[Record], folder: Path) -> None:
    """Write ``trials.jsonl``, one line per finished trial; readers never see half of it."""
    with written_beside(folder / EXPORT) as beside:
        beside.write_text(''.join(json.dumps(asdict(record)) + '\n' for record in records))


def best(records: list[Record], count: int = 1) -> list[Record]:
    """Return the cells with the best scores, without the references."""
    scored = [record for record in records if record.is_scored and record.name is None]
    scored.sort(key=lambda record: (-(record.score or 0.0), record.trial))
    return scored[:count]
