"""Carries a comparison out: trains what is missing, collects it, measures, reports."""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmbmtas import launch
from mmbmtas.comparison.networks import network_cost
from mmbmtas.comparison.plan import Network, Planner, Run, digest
from mmbmtas.comparison.results import Row, read_rows, set_delta_m, write_rows
from mmbmtas.comparison.spec import Comparison
from mmbmtas.cost import ModuleCost
from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.evaluation import HeadlineMetric, MultiTaskEvaluator, TaskMetric, declared_metrics
from mmbmtas.grouping.bmn import MIN_IMAGES
from mmbmtas.launch.jobs import (
    Observer,
    Scheduler,
    State,
    Step,
    StepFolders,
    describe_changes,
    with_needs,
)
from mmbmtas.launch.stages import lock_folder, write_json
from mmbmtas.launch.tree_config import TreeConfig, read_tree_config
from mmbmtas.models.encoders import build_encoder
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.writing import written_beside


@dataclass(frozen=True)
class Resources:
    """What the steps run on.

    Attributes:
        jobs: Processes at once.
        launch: Words before each command line.
        gpus: GPUs to deal the processes to.
    """

    jobs: int = 1
    launch: Sequence[str] = ()
    gpus: Sequence[str] = ()


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
        self._costs: dict[str, ModuleCost] = {}
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
        """List all rows, with steps for what is not there."""
        finished = [name for name, row in self.rows.items() if row.is_done]
        planner = Planner(
            self.comparison,
            self.config.tasks,
            self.tools,
            self.folders,
            self.out / 'trees',
            finished,
        )
        return planner.runs()

    def listed_rows(self) -> list[Row]:
        """Return the rows of what the comparison lists; the folder may hold those of others."""
        return [self.rows[run.name] for run in self.plan() if run.name in self.rows]

    def missing(self) -> list[Run]:
        """List the rows that are not finished."""
        return [
            run
            for run in self.plan()
            if not (run.name in self.rows and self.rows[run.name].is_done)
        ]

    def check_settings(self, rerun: bool) -> None:
        """See that what is there was made with the settings asked for.

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
        """See that there are data, where anything is still to be trained.

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
        """Train and test what is missing; write each row as soon as it is finished.

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
        """Put a finished row down, with what belongs to it."""
        for network in run.networks:
            if network.tree is not None:
                stored = self.out / 'trees' / f'{network.tree.name}.json'
                if network.tree.path != stored:
                    _copy(network.tree.path, stored)
        if run.model.kind == 'bmn':
            tree = run.networks[0].tree
            assert tree is not None
            _copy(tree.path.with_name('rsa.npy'), self.out / 'affinities' / f'{run.name}.npy')
        self.settings[run.name] = run.settings
        write_json(dict(sorted(self.settings.items())), self.out / 'settings.json')
        self._put(run, self._row(run))

    def fail(self, run: Run, step: Step) -> None:
        """Note what a row failed at."""
        tail = '\n'.join(line.strip() for line in self.folders.tail(step))
        error = f'{step.name}: {tail}'
        row = Row(run.name, run.model.name, run.model.kind, run.seed, run.member, 'failed')
        row.error = error
        self._put(run, row)

    def _put(self, run: Run, row: Row) -> None:
        self.rows[run.name] = row
        self.write_rows()

    def write_rows(self) -> None:
        """Write ``results.csv``: the rows asked for in their order, then those of earlier files."""
        names = [run.name for run in self.plan()]
        listed = [self.rows[name] for name in names if name in self.rows]
        baseline = self.comparison.first('single')
        set_delta_m(listed, baseline.name if baseline else None, self.headlines)
        listed += [row for name, row in self.rows.items() if name not in names]
        self.rows = {row.run: row for row in listed}
        self.out.mkdir(parents=True, exist_ok=True)
        # Other metrics that were tested stay too, for the day when `headlines` names them.
        keys = [h.key for h in self.headlines] + [key for row in listed for key in row.metrics]
        write_rows(listed, [*dict.fromkeys(keys)], self.out / 'results.csv')

    def _row(self, run: Run) -> Row:
        """Collect what came out."""
        results: dict[str, Any] = {}
        for test in run.tests:
            results |= json.loads(test.output.read_text())
        costs = sum(map(self._cost, run.networks), ModuleCost())
        tree = run.networks[0].tree if run.model.kind != 'single' else None
        step = tree.step if tree else None
        architecture = BranchedArchitecture.load(tree.path).describe() if tree else ''
        return Row(
            run=run.name,
            model=run.model.name,
            kind=run.model.kind,
            seed=run.seed,
            member=run.member,
            metrics={
                **{h.key: _number(results.get(h.key)) for h in self.headlines},
                **{key: _number(results[key]) for key in declared_metrics() if key in results},
            },
            numbers={
                'madds': costs.madds,
                'madds_paper': costs.madds_paper,
                'params': costs.params,
                'train_seconds': sum(map(self.folders.seconds, run.trainings)),
                'tree_seconds': self.folders.seconds(step) if step else 0.0,
            },
            tree=architecture,
            settings=digest(run.settings),
        )

    def _cost(self, network: Network) -> ModuleCost:
        """Count what a network costs, once for equal ones."""
        path = network.tree.path if network.tree else None
        key = f'{network.config} {json.dumps(dict(network.options))} '
        key += path.read_text() if path else ''
        if key not in self._costs:
            self._costs[key] = network_cost(network.config, network.options, path)
        return self._costs[key]

    def latency_list(self) -> dict[str, list[dict[str, Any]]]:
        """List the networks of finished rows, as ``benchmark_networks.py`` reads them.

        Of the rows of a model that cost the same, such as permutations, the first is listed.
        """
        first = {self._kind_of_network(row): row.run for row in reversed(self._finished())}
        return {
            run.name: [
                {
                    'config': network.config,
                    'options': dict(network.options),
                    'architecture': str(network.tree.path) if network.tree else None,
                }
                for network in run.networks
            ]
            for run in self.plan()
            if run.name in first.values()
        }

    def _finished(self) -> list[Row]:
        return [row for row in self.listed_rows() if row.is_done]

    @staticmethod
    def _kind_of_network(row: Row) -> tuple[str, float]:
        """What decides the time of a row's networks."""
        return row.model, row.numbers['madds']

    def measure_latency(self, resources: Resources, observer: Observer, again: bool) -> bool:
        """Time all networks in one process, unless each row has its time already.

        Args:
            resources: As for training.
            observer: Is told.
            again: Whether to measure whatever is known.

        Returns:
            Whether it went well.
        """
        listed, rows = self.latency_list(), self._finished()
        one_place = len({row.latency_place for row in rows}) == 1
        if not listed or (
            one_place and all('latency_ms' in row.numbers for row in rows) and not again
        ):
            return True
        folder = self.folders['latency']
        step = Step(
            'latency',
            'latency',
            {'networks': digest({'networks': listed})},
            lambda: [
                self.tools / 'analysis_tools' / 'benchmark_networks.py',
                folder / 'networks.json',
                *('-o', folder / 'latency.json'),
            ],
            folder / 'latency.json',
        )
        self.folders.forget(step)
        folder.mkdir(parents=True)
        write_json(listed, folder / 'networks.json')
        scheduler = Scheduler(
            [step], self.folders, 1, resources.launch, resources.gpus, lock=self._lock
        )
        scheduler.run(observer)
        if scheduler.states[step.name] is not State.DONE:
            return False
        found = json.loads(step.output.read_text())
        milliseconds = {
            self._kind_of_network(self.rows[name]): round(value, 3)
            for name, value in found['milliseconds'].items()
        }
        for row in rows:
            row.numbers['latency_ms'] = milliseconds[self._kind_of_network(row)]
            row.latency_place = found['place']
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


def check_configs(comparison: Comparison) -> TreeConfig:
    """Check that the configs are for the same tasks and encoder, and budgets within reach.

    Raises:
        ValueError: They are not.
    """
    branched = read_tree_config(comparison.branched, dict(comparison.options))
    for model in comparison.models:
        where = f'{comparison.path}: {model.name}'
        if model.kind == 'searched':
            search = read_tree_config(model['search'], model['search_options'])
            if set(search.tasks) != set(branched.tasks):
                raise InputError(
                    f'{where}: {model["search"]} is for the tasks {[*search.tasks]}, '
                    f'{comparison.branched} for {[*branched.tasks]}'
                )
            own, other = search.encoder.to_config(), branched.encoder.to_config()
            if own != other:
                raise InputError(
                    f'{where}: {model["search"]} searches a tree of {own}, {comparison.branched} '
                    f'trains one of {other}'
                )
            loss = search.cfg.model.get('resource_loss') or {}
            _check_reach(loss.get('target_madds'), search, f'{where}: resource_loss.target_madds')
        if model.kind == 'exchange':
            network = launch.read_config(model['config'], model.options).get('model') or {}
            heads = network.get('decode_heads', {})
            if set(heads) != set(branched.tasks):
                raise InputError(
                    f'{where}: {model["config"]} is for the tasks {[*heads]}, '
                    f'{comparison.branched} for {[*branched.tasks]}'
                )
            encoder = (network.get('backbone') or {}).get('encoder', branched.encoder)
            own = build_encoder(encoder, model['config']).to_config()
            other = branched.encoder.to_config()
            if own != other:
                raise InputError(
                    f'{where}: the encoder of {model["config"]} is {own}, that of '
                    f'{comparison.branched} {other}'
                )
        if model.kind == 'tree':
            try:
                branched.madds_of(model['architecture'])
            except ValueError as error:
                raise InputError(f'{where}: {error}') from error
        if model.kind == 'bmn' and model['images'] < MIN_IMAGES:
            raise InputError(f'{where}: {model["images"]} images, expected at least {MIN_IMAGES}')
        if model.settings.get('budget') is not None:
            own_cost = read_tree_config(comparison.branched, dict(model.options))
            _check_reach(model['budget'], own_cost, f'{where}: a budget', model.kind == 'bmn')
    return branched


def _check_reach(madds: float | None, config: TreeConfig, what: str, is_cap: bool = False) -> None:
    """Refuse a cost that no tree has, or a cap below that of every tree."""
    low, high = config.cost.shared().madds, config.cost.all_apart().madds
    if madds is not None and not (low <= madds and (madds <= high or is_cap)):
        raise InputError(
            f'{what} of {madds:,.0f} multiply-adds is out of reach: the tree that shares all '
            f'layers takes {low:,}, the one that shares none {high:,}'
        )


def list_headlines(cfg: Config, chosen: Sequence[str]) -> list[HeadlineMetric]:
    """List the number that stands for each task: the config's first metric, or the one chosen.

    Raises:
        ValueError: The config's test does not compute a chosen one.
    """
    init_default_scope(cfg.get('default_scope', 'mmbmtas'))
    evaluator = cfg.test_evaluator
    metrics = evaluator['metrics'] if isinstance(evaluator, Mapping) else evaluator
    built = MultiTaskEvaluator(metrics)
    computed = {m.headline.key: m.headline for m in built.metrics if isinstance(m, TaskMetric)}
    headlines = {headline.key.split('/')[0]: headline for headline in built.headlines}
    for key in chosen:
        if key not in computed:
            raise InputError(
                f'headlines: {key!r} is not among {sorted(computed)}, which the test computes; a '
                'metric of your own declares its number as a TaskMetric does (headline_name)'
            )
        headlines[key.split('/')[0]] = computed[key]
    return [*headlines.values()]


def _explain(where: str, changes: Mapping[str, Sequence[str]]) -> str:
    """Say what was made with other settings."""
    shown = '; '.join(f'{name} ({", ".join(found[:3])})' for name, found in [*changes.items()][:4])
    more = f' and {len(changes) - 4} more' if len(changes) > 4 else ''
    return (
        f'{where} holds what was made with other settings: {shown}{more}. Take the change back, '
        'choose another folder, or run these again with --rerun'
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _copy(source: Path, target: Path) -> None:
    """Copy a file; a reader never sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(target) as beside:
        shutil.copyfile(source, beside)
