"""Runs a comparison: trains missing models, collects results, measures times, reports."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from mmbmtas.comparison.checks import check_configs, list_headlines
from mmbmtas.comparison.kinds import KINDS
from mmbmtas.comparison.models import Comparison
from mmbmtas.comparison.outcome import Outcomes
from mmbmtas.comparison.plan import Planner
from mmbmtas.comparison.results import Row, read_rows, set_decathlon_scores, set_delta_m, write_rows
from mmbmtas.comparison.row_latency import are_timed, networks_to_time, put_times, timing_step
from mmbmtas.comparison.rows import Run, digest
from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.launch.jobs import (
    Observer,
    Resources,
    Scheduler,
    State,
    Step,
    StepFolders,
    describe_changes,
    lock_folder,
    with_needs,
)
from mmbmtas.writing import write_json, written_beside


class Harness:
    """A comparison, the folder of its results and the one in which it works.

    The results' folder gets ``results.csv``, ``settings.json`` (what decided each row), ``trees/``
    and ``affinities/``; with them alone, finished rows need nothing of the work folder any more.

    Args:
        comparison: What to compare.
        out: Folder of the results.
        work: Folder of trainings, logs and checkpoints.
        tools: Folder of the command lines.

    Raises:
        ValueError: The configs do not fit one another, or a budget is out of reach.
    """

    def __init__(self, comparison: Comparison, out: Path, work: Path, tools: Path) -> None:
        self.comparison, self.out, self.tools = comparison, out, tools
        self.folders = StepFolders(work)
        self.config = check_configs(comparison)
        self.headlines = list_headlines(self.config.cfg, comparison.headlines)
        self.rows: dict[str, Row] = {}
        self.settings: dict[str, Any] = {}
        self._read()
        self._outcomes = Outcomes(self.folders)
        self._lock: TextIO | None = None

    def lock(self) -> None:
        """Wait until no other process works on this comparison; needed before it is changed."""
        self._lock = lock_folder(self.folders.root)
        self._read()  # what another process has finished meanwhile

    def _read(self) -> None:
        """Read what is there of rows, and what decided them."""
        self.rows = {row.run: row for row in read_rows(self.out / 'results.csv')}
        settings = self.out / 'settings.json'
        self.settings = json.loads(settings.read_text()) if settings.exists() else {}

    def plan(self) -> list[Run]:
        """List all rows, with steps for what is missing."""
        finished = [name for name, row in self.rows.items() if row.is_done]
        planner = Planner(
            self.comparison,
            self.config.tasks,
            self.config.cfg.get('total_batch_size') or 0,
            self.tools,
            self.folders,
            self.out / 'trees',
            finished,
        )
        return planner.runs()

    def listed_rows(self) -> list[Row]:
        """Return the rows that the comparison lists; the folder may hold rows of others."""
        return [self.rows[run.name] for run in self.plan() if run.name in self.rows]

    def missing(self) -> list[Run]:
        """List the rows that are not finished."""
        return [
            run
            for run in self.plan()
            if not (run.name in self.rows and self.rows[run.name].is_done)
        ]

    def check_settings(self, rerun: bool) -> None:
        """Check that existing rows and steps were made with the current settings.

        Args:
            rerun: Whether to do over what was made with others; by default that is an error. No
                file is changed before :meth:`train`.

        Raises:
            ValueError: A row, or a step that was begun, was made with others.
        """
        rows = {}
        for run in self.plan():
            row = self.rows.get(run.name)
            if row is not None and row.is_done and row.settings != digest(run.settings):
                rows[run.name] = describe_changes(
                    self.settings.get(run.name, {}), run.settings
                ) or ['settings.json does not say which']
        if rows and not rerun:
            raise InputError(_explain('results.csv', rows))
        for name in rows:
            del self.rows[name]
        steps = with_needs([test for run in self.missing() for test in run.tests])
        changed = {step.name: found for step in steps if (found := self.folders.changes(step))}
        if changed and not rerun:
            raise InputError(_explain(str(self.folders.root), changed))

    def check_data(self) -> None:
        """Check that the data exist if anything must still be trained.

        Raises:
            FileNotFoundError: There are none.
        """
        root = self.comparison.data_root or self.config.cfg.get('data_root')
        if root is not None and self.missing() and not Path(root).is_dir():
            raise MissingFileError(
                f'{root}, the data of {self.comparison.path}, is no folder: unpack or render them '
                'there, or name another data_root'
            )

    def train(self, resources: Resources, observer: Observer) -> None:
        """Train and test the missing models; write each row as soon as it is finished.

        Steps that were begun with other settings start anew, see :meth:`check_settings`.
        """
        missing = self.missing()
        steps = with_needs([test for run in missing for test in run.tests])
        for step in steps:
            if self.folders.changes(step):
                self.folders.forget(step)
        scheduler = Scheduler(
            steps,
            self.folders,
            resources.jobs,
            resources.launch,
            resources.gpus,
            lock=self._lock,
        )
        collector = _Collector(self, missing, observer)
        collector.collect(scheduler)
        scheduler.run(collector)
        collector.collect(scheduler)

    def finish(self, run: Run) -> None:
        """Record a finished row, with the files that belong to it."""
        for network in run.networks:
            if network.tree is not None:
                stored = self.out / 'trees' / f'{network.tree.name}.json'
                if network.tree.path != stored:
                    _copy(network.tree.path, stored)
        for path, place in KINDS[run.model.kind].files(run):
            _copy(path, self.out / place)
        self.settings[run.name] = run.settings
        write_json(dict(sorted(self.settings.items())), self.out / 'settings.json')
        self._put(run, self._outcomes.row(run, self.headlines))

    def fail(self, run: Run, step: Step) -> None:
        """Record the step at which a row failed."""
        self._put(run, self._outcomes.failure(run, step))

    def _put(self, run: Run, row: Row) -> None:
        self.rows[run.name] = row
        self.write_rows()

    def write_rows(self) -> None:
        """Write ``results.csv``: the current rows in their order, then those of earlier files."""
        names = [run.name for run in self.plan()]
        listed = [self.rows[name] for name in names if name in self.rows]
        baseline = self.comparison.first('single') or self.comparison.first('independent')
        set_delta_m(listed, baseline.name if baseline else None, self.headlines)
        set_decathlon_scores(listed, baseline.name if baseline else None)
        listed += [row for name, row in self.rows.items() if name not in names]
        self.rows = {row.run: row for row in listed}
        self.out.mkdir(parents=True, exist_ok=True)
        # Other metrics that were tested stay too, for the day when `headlines` names them.
        keys = [h.key for h in self.headlines] + [key for row in listed for key in row.metrics]
        write_rows(listed, [*dict.fromkeys(keys)], self.out / 'results.csv')

    def latency_list(self) -> dict[str, list[dict[str, Any]]]:
        """List the networks of finished rows that are to be timed."""
        return networks_to_time(self.plan(), self._finished())

    def _finished(self) -> list[Row]:
        return [row for row in self.listed_rows() if row.is_done]

    def measure_latency(self, resources: Resources, observer: Observer, again: bool) -> bool:
        """Time all networks in one process, unless each row already has a time.

        Args:
            resources: As for training.
            observer: Is told.
            again: Whether to measure whatever is known.

        Returns:
            Whether it went well.
        """
        listed, rows = self.latency_list(), self._finished()
        if not listed or (are_timed(rows) and not again):
            return True
        step = timing_step(listed, self.folders, self.tools)
        scheduler = Scheduler(
            [step], self.folders, 1, resources.launch, resources.gpus, lock=self._lock
        )
        scheduler.run(observer)
        if scheduler.states[step.name] is not State.DONE:
            return False
        put_times(step, rows, self.rows)
        self.write_rows()
        return True


class _Collector:
    """Writes rows as soon as their steps have ended, and hands all on to another observer."""

    def __init__(self, harness: Harness, runs: Sequence[Run], observer: Observer) -> None:
        self.harness, self.open, self.observer = harness, list(runs), observer

    def update(self, scheduler: Scheduler) -> None:
        """Hand on."""
        self.observer.update(scheduler)

    def changed(self, scheduler: Scheduler, step: Step) -> None:
        """See which rows have come to their end."""
        self.observer.changed(scheduler, step)
        if scheduler.states[step.name].is_final:
            self.collect(scheduler)

    def collect(self, scheduler: Scheduler) -> None:
        """Put down the rows all of whose steps have come to their end."""
        for run in [*self.open]:
            steps = with_needs(run.tests)
            states = [scheduler.states[step.name] for step in steps]
            if not all(scheduler.states[test.name].is_final for test in run.tests):
                continue
            self.open.remove(run)
            if all(scheduler.states[test.name] is State.DONE for test in run.tests):
                self.harness.finish(run)
            else:
                failed = steps[states.index(State.FAILED)]
                self.harness.fail(run, failed)


def _explain(where: str, changes: Mapping[str, Sequence[str]]) -> str:
    """Say what was made with other settings."""
    shown = '; '.join(f'{name} ({", ".join(found[:3])})' for name, found in [*changes.items()][:4])
    more = f' and {len(changes) - 4} more' if len(changes) > 4 else ''
    return (
        f'{where} holds what was made with other settings: {shown}{more}. Take the change back, '
        'choose another folder, or run these again with --rerun'
    )


def _copy(source: Path, target: Path) -> None:
    """Copy a file; a reader never sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(target) as beside:
        shutil.copyfile(source, beside)
