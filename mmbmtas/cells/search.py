"""Runs a search of cells: features, trials, full trainings of the best cells, report."""

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmbmtas.cells.backbone import encoder_of
from mmbmtas.cells.feature_writer import write_features
from mmbmtas.cells.settings import STRIDE, CellSearchSettings
from mmbmtas.cells.study import Record, best
from mmbmtas.cells.trial import score_of
from mmbmtas.cells.worker import CONFIG, FEATURES, Search, context_of
from mmbmtas.encoders import build_encoder
from mmbmtas.encoders.dense_prediction_cell import as_cell
from mmbmtas.errors import InputError, WorkerError
from mmbmtas.launch import find_beside_config, override, prepare_config, read_config
from mmbmtas.launch.jobs import Resources as JobResources
from mmbmtas.launch.jobs import Scheduler, State, Step, StepFolders, lock_folder, with_needs
from mmbmtas.registry import SCOPE
from mmbmtas.structures import BranchedArchitecture, DenseCell
from mmbmtas.structures.documents import read_document
from mmbmtas.writing import written_beside

WORK = 'work'
"""Folder of logs and full trainings."""
_INTERVAL = 5.0
"""Seconds between two looks at the study."""


@dataclass(frozen=True)
class Resources(JobResources):
    """What the processes of a search run on.

    Attributes:
        storage: Address of the study's database; None is a file in the output folder.
    """

    storage: str | None = None


def read_search_config(path: str, options: Mapping[str, Any] | None = None) -> Config:
    """Read the config of a search; cells that it names by file are put into it.

    Raises:
        InputError: It has no ``cell_search``, or one that means nothing.
    """
    cfg = read_config(path, options)
    cfg.launcher = 'none'
    prepare_config(cfg)
    init_default_scope(cfg.get('default_scope', SCOPE))
    settings = CellSearchSettings.from_config(cfg)
    place = find_beside_config(settings.published, cfg.filename, 'cell file')
    cfg.cell_search.published = place
    for context in (cfg.cell_search.get('references') or {}).values():
        if isinstance(context.get('cell'), str):
            found = find_beside_config(context['cell'], cfg.filename, 'cell file')
            context['cell'] = DenseCell.load(found).branches
    encoder_of(cfg)
    return cfg


def describe(cfg: Config, trials: int) -> list[str]:
    """Say what a search will try, and warn if much of its space computes the same function."""
    settings = CellSearchSettings.from_config(cfg)
    space, names = settings.cells, ', '.join(settings.contexts)
    lines = [
        f'{trials} trials: {names}, then {max(0, trials - len(settings.contexts))} cells',
        f'{space.count_different():,} cells of {space.branches} branches differ '
        f'({space.size:,} with the order of branches)',
    ]
    if settings.crop is not None:
        size = (settings.crop[0] // STRIDE, settings.crop[1] // STRIDE)
        lines += coincidence(settings, size)
    return lines


def coincidence(settings: CellSearchSettings, size: tuple[int, int]) -> list[str]:
    """Warn where more than a third of a space's operations compute the same on small maps."""
    space = settings.cells
    differ, count = space.different_operations(size), len(space.operations)
    if differ >= count * 2 / 3:
        return []
    return [
        f'warning: on features of {size[0]} x {size[1]} only {differ} of {count} operations differ '
        f'({space.count_different(size):,} cells): use larger images or crops, or state lower '
        'cell_search.space.rates'
    ]


class CellSearch:
    """A search and the folder of its results.

    Args:
        cfg: What :func:`read_search_config` gave.
        folder: The output folder.
        trials: Number of trials.
        seed: Of the search.
        resources: What the processes run on.
        tools: Folder of the command lines.

    Raises:
        InputError: The folder holds a search with other settings.
    """

    def __init__(
        self,
        cfg: Config,
        folder: Path,
        trials: int,
        seed: int,
        resources: Resources,
        tools: Path,
    ) -> None:
        self.cfg, self.folder, self.trials, self.seed = cfg, folder, trials, seed
        self.resources, self.tools = resources, tools
        self.steps = StepFolders(folder / WORK)

    def prepare(self) -> Search:
        """Lock the folder, compute the missing features, and open the study."""
        folder = self.folder if self.resources.storage is None else self.steps.root
        self._lock = lock_folder(folder)
        settings = CellSearchSettings.from_config(self.cfg)
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        cache = write_features(self.cfg, settings, self.folder / FEATURES, device)
        print(*coincidence(settings, cache.size), sep='\n', end='')
        with written_beside(self.folder / CONFIG) as beside:
            self.cfg.dump(beside)
        return self.open()

    def open(self) -> Search:
        """Open a search that was prepared."""
        return Search(self.folder, self.trials, self.seed, self.resources.storage)

    def run(self, search: Search) -> list[Record]:
        """Try all cells, and return their records.

        Raises:
            WorkerError: The processes end without finishing a trial.
        """
        if self.resources.storage is None:
            search.desk.release()
        while not search.desk.is_finished():
            before = self._progress(search)
            steps = [self._worker(index) for index in range(self.resources.jobs)]
            for step in steps:
                self.steps.forget(step)
            scheduler = self._scheduler(steps)
            scheduler.run(_Watch(search))
            if not search.desk.is_finished() and self._progress(search) == before:
                tail = ' '.join(self.steps.tail(steps[0], 2))
                raise WorkerError(f'the processes of the search ended too early: {tail}')
        search.write()
        return search.desk.records(self.seed)

    @staticmethod
    def _progress(search: Search) -> tuple[int, int]:
        return len(search.desk.records(0)), sum(search.desk.deaths().values())

    def _worker(self, index: int) -> Step:
        words = ['-m', 'mmbmtas.cells.worker', self.folder, '--trials', self.trials]
        words += ['--seed', self.seed, '--process', f'worker{index}']
        if self.resources.storage is not None:
            words += ['--storage', self.resources.storage]
        output = self.folder / CONFIG
        name = f'worker{index}'
        return Step(name, 'worker', {}, lambda: [str(word) for word in words], output)

    def _scheduler(self, steps: Sequence[Step]) -> Scheduler:
        own = self.resources
        return Scheduler(with_needs(steps), self.steps, own.jobs, own.launch, own.gpus, self._lock)

    def rerank(self, search: Search, count: int) -> dict[int, dict[str, float]]:
        """Train the best cells and the references in full, including the backbone.

        Args:
            search: The search, finished.
            count: How many of the best.

        Returns:
            Results on the validation images by trial, of earlier calls too.
        """
        if count == 0:
            return self.full_results(search)
        records = search.desk.records(self.seed)
        chosen = [record for record in records if record.name is not None]
        chosen += best(records, count)
        tests = [self._full(search, record) for record in chosen]
        self._scheduler(tests).run(_Quiet())
        return self.full_results(search)

    def full_results(self, search: Search) -> dict[int, dict[str, float]]:
        """Read the results of the full trainings that are done, by trial."""
        found = {}
        for record in search.desk.records(self.seed):
            path = self.steps[f'full-{record.trial}-test'] / 'metrics.json'
            if path.is_file():
                results = read_document(path)
                found[record.trial] = {k: v for k, v in results.items() if v is not None}
        return found

    def _full(self, search: Search, record: Record) -> Step:
        """Plan the full training and the test of a trial's context module."""
        name = f'full-{record.trial}'
        if record.name is not None:
            context = search.contexts[record.name]
        else:
            context = context_of(DenseCell.from_branches(record.cell or []))
        if 'cell' in context:
            context = {**context, 'cell': as_cell(context['cell']).branches}
        cfg = self._full_config(search, context)
        place = self.folder / WORK / f'{name}.py'
        with written_beside(place) as beside:
            cfg.dump(beside)
        run = self.steps[name]
        settings = {'context': context, 'full': search.settings.full, 'seed': self.seed}
        train = Step(
            name,
            'train',
            settings,
            lambda: [self.tools / 'train.py', place, '--work-dir', run, '--resume'],
            run / 'last_checkpoint',
        )
        output = self.steps[f'{name}-test'] / 'metrics.json'
        return Step(
            f'{name}-test',
            'test',
            settings,
            lambda: [
                *(self.tools / 'test.py', place, (run / 'last_checkpoint').read_text().strip()),
                *('--work-dir', output.parent, '--out', output),
            ],
            output,
            (train,),
        )

    def _full_config(self, search: Search, context: Mapping[str, Any]) -> Config:
        """Return the config with a context module in all of a shared encoder."""
        cfg = deepcopy(search.cfg)
        encoder = build_encoder(search.trial.encoder_config(context))
        backbone = cfg.model.backbone
        tasks = [backbone.task] if backbone.get('task') else [*cfg.model.decode_heads]
        tree = BranchedArchitecture.shared(tasks, encoder.to_config(), encoder.num_layers)
        backbone.encoder = search.trial.encoder_config(context)
        backbone.architecture = tree.to_dict()
        if 'architecture' in cfg:
            cfg.architecture = tree.to_dict()
        override(cfg, search.settings.full)
        return cfg

    def full_scores(
        self, search: Search, results: Mapping[int, Mapping[str, float]]
    ) -> dict[int, float]:
        """Score the full trainings as the trials were, against the first reference."""
        if 0 not in results:
            return {}
        metric = search.settings.metric
        return {trial: score_of(own, results[0], metric) for trial, own in results.items()}


class _Watch:
    """Gives back the places of processes that have died, and tells of new results."""

    def __init__(self, search: Search) -> None:
        self.search, self.finished, self.looked = search, -1, 0.0

    def update(self, scheduler: Scheduler) -> None:
        """Tell how many trials are finished, every few seconds."""
        if time.monotonic() - self.looked < _INTERVAL:
            return
        self.looked = time.monotonic()
        records = self.search.desk.records(self.search.seed)
        if len(records) != self.finished:
            self.finished = len(records)
            told = [f'best {r.score:.3f} (trial {r.trial})' for r in best(records)]
            print(f'{len(records)} of {self.search.desk.trials} trials', *told, flush=True)

    def changed(self, scheduler: Scheduler, step: Step) -> None:
        """Note the end of a process."""
        if scheduler.states[step.name] is State.FAILED:
            self.search.desk.release(step.name)


class _Quiet:
    """Tells of full trainings as they begin and end."""

    def update(self, scheduler: Scheduler) -> None:
        """Nothing is told meanwhile."""

    def changed(self, scheduler: Scheduler, step: Step) -> None:
        """Tell it."""
        print(f'{step.name}: {scheduler.states[step.name].value}', flush=True)


def check_resources(jobs: int, rerank: int, trials: int) -> None:
    """Refuse meaningless numbers on the command line.

    Raises:
        InputError: One does.
    """
    for name, value, least in (
        ('--jobs', jobs, 1),
        ('--rerank', rerank, 0),
        ('--trials', trials, 1),
    ):
        if value < least:
            raise InputError(f'{name} {value}: expected at least {least}')
