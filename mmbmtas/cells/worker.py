"""A process that works on a search of cells: ``python -m mmbmtas.cells.worker DIR``."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from optuna.trial import TrialState

from mmbmtas.cells.features import FeatureCache
from mmbmtas.cells.near_best import NearBestRule
from mmbmtas.cells.sampler import (
    CELL,
    ERROR,
    KEY,
    PARENT,
    GenerationHalving,
    NearBest,
    Places,
    finished_trials,
    suggest_cell,
)
from mmbmtas.cells.settings import CellSearchSettings
from mmbmtas.cells.study import Desk, best, export, open_storage, open_study
from mmbmtas.cells.trial import Trial, score_of
from mmbmtas.encoders.dense_prediction_cell import as_cell
from mmbmtas.errors import InputError
from mmbmtas.launch import read_config
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.registry import SCOPE
from mmbmtas.structures import DenseCell

CONFIG, FEATURES, BEST = 'config.py', 'features', 'cell.json'
NAME = 'cells'
"""Of the study in a journal file."""


class _TrialError(Exception):
    """A trial has failed; the others go on."""


class Search:
    """A search that was prepared in a folder.

    Args:
        folder: The output folder, with config and features.
        trials: Number of trials.
        seed: Of the search.
        storage: Address of a database; None is the journal file of the folder.
        process: Name of this process.

    Raises:
        InputError: The search was begun with other settings.
    """

    def __init__(
        self, folder: Path, trials: int, seed: int, storage: str | None = None, process: str = ''
    ) -> None:
        self.folder, self.seed, self.process = folder, seed, process
        self.cfg: Config = read_config(str(folder / CONFIG))
        init_default_scope(self.cfg.get('default_scope', SCOPE))
        self.settings = CellSearchSettings.from_config(self.cfg)
        self.cache = FeatureCache(folder / FEATURES, self.settings)
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.trial = Trial(self.cfg, self.settings, self.cache, seed, device)
        self.contexts = self.settings.contexts
        self.rule = self._make_rule()
        generation = self.rule.generation if self.rule else len(self.contexts) or 1
        self.places = Places(len(self.contexts), generation)
        self.study = open_study(
            open_storage(folder, storage),
            NAME if storage is None else f'{NAME} {folder.name}',
            self._decisive(),
            len(self.settings.objectives),
        )
        self.study.pruner = GenerationHalving(self.places)
        self.desk = Desk(self.study, self.places, trials, waits=self.rule is not None)

    def _decisive(self) -> dict[str, Any]:
        """Return the settings that decide the results of the trials."""
        later = ('trials', 'full')
        own = {key: value for key, value in vars(self.settings).items() if key not in later}
        model = self.cfg.model.to_dict()
        return {
            **own,
            'seed': self.seed,
            'model': model,
            'features': self.cache.meta['fingerprint'],
        }

    def _make_rule(self) -> NearBestRule | None:
        """Build the rule of ``NearBest``; None for other samplers."""
        options = dict(self.settings.sampler)
        if options.pop('type') != 'NearBest':
            return None
        budget = self.settings.max_madds
        try:
            return NearBestRule(
                self.settings.cells,
                size=self.cache.size,
                affordable=lambda cell: budget is None or self.trial.madds_of_cell(cell) <= budget,
                **options,
            )
        except TypeError as error:
            raise InputError(f'cell_search.sampler {self.settings.sampler}: {error}') from error

    def _make_sampler(self) -> optuna.samplers.BaseSampler:
        if self.rule is not None:
            return NearBest(self.rule, self.seed, len(self.contexts))
        options = dict(self.settings.sampler)
        name = options.pop('type')
        kind = getattr(optuna.samplers, name, None)
        if not (isinstance(kind, type) and issubclass(kind, optuna.samplers.BaseSampler)):
            known = [n for n in optuna.samplers.__all__ if n.endswith('Sampler')]
            raise InputError(f'cell_search.sampler {name!r}: not NearBest, nor one of {known}')
        try:
            # Another seed after each start, or a search that goes on would draw the same again.
            seed = self.seed * 10_007 + len(self.study.get_trials(deepcopy=False))
            return kind(**{'seed': seed, **options})
        except TypeError as error:
            raise InputError(f'cell_search.sampler {self.settings.sampler}: {error}') from error

    def work(self) -> None:
        """Try cells until all are tried."""
        MMLogger.get_instance('cells', log_level='WARNING')  # not every initial weight
        torch.set_num_threads(self.settings.threads)
        self.study.sampler = self._make_sampler()
        while not self.desk.is_finished():
            self.study.optimize(self._try, n_trials=1, catch=(_TrialError,))
            self.write()

    def write(self) -> None:
        """Write ``trials.jsonl`` and the best cell so far."""
        records = self.desk.records(self.seed)
        export(records, self.folder)
        for record in best(records):
            source = {'trial': record.trial, 'score': record.score, 'seed': self.seed}
            madds = {'cell': record.madds}
            cell = DenseCell.from_branches(record.cell or [], madds=madds, source=source)
            cell.save(self.folder / BEST)

    def _try(self, trial: optuna.Trial) -> tuple[float, ...]:
        """Carry a trial out.

        Raises:
            optuna.TrialPruned: It was ended early, or no place was left.
        """
        place = self.desk.claim(trial, self.process)
        if place is None:
            raise optuna.TrialPruned('no place is left')
        start = time.monotonic()
        context = self._choose(trial, place)
        try:
            return self._train(trial, place, context)
        except optuna.TrialPruned:
            raise
        except KeyboardInterrupt:
            trial.set_user_attr('stopped', True)
            raise
        except Exception as error:
            if place == 0:  # without it no other trial has a score
                raise
            trial.set_user_attr(ERROR, f'{type(error).__name__}: {error}')
            raise _TrialError(str(error)) from error
        finally:
            trial.set_user_attr('seconds', round(time.monotonic() - start, 3))

    def _choose(self, trial: optuna.Trial, place: int) -> dict[str, Any]:
        """Return the context module of a place, and note what it is."""
        if place < len(self.contexts):
            name = [*self.contexts][place]
            context = self.contexts[name]
            trial.set_user_attr('name', name)
            cell = as_cell(context['cell']) if 'cell' in context else None
        else:
            cell = suggest_cell(trial, self.settings.cells)
            if isinstance(sampler := self.study.sampler, NearBest):
                trial.set_user_attr(PARENT, sampler.parents[trial.number])
            context = context_of(cell)
        if cell is not None:
            trial.set_user_attr(CELL, cell.branches)
            trial.set_user_attr(KEY, cell.key(self.cache.size))
        return context

    def _train(self, trial: optuna.Trial, place: int, context: dict[str, Any]) -> tuple[float, ...]:
        madds, params = self.trial.cost(context)
        trial.set_user_attr('madds', madds)
        trial.set_user_attr('params', params)
        if place >= len(self.contexts):
            self._keep_to_budget(trial, context, madds)
            if (twin := self._twin(trial)) is not None:
                return twin
        score = float('nan')
        for outcome in self.trial.run(context):
            ended = finished_trials(self.study)
            reference = ended[0].user_attrs['metrics'] if place else outcome.metrics
            score = score_of(outcome.metrics, reference, self.settings.metric)
            for name, value in vars(outcome).items():
                trial.set_user_attr(name, value)
            trial.set_user_attr('score', score)
            if len(self.settings.rungs) > outcome.rung:
                trial.report(score, outcome.rung)
                if trial.should_prune():
                    raise optuna.TrialPruned(f'ended at rung {outcome.rung}')
        return (score, float(madds))[: len(self.settings.objectives)]

    def _keep_to_budget(self, trial: optuna.Trial, context: dict[str, Any], madds: int) -> None:
        """End a trial whose cell is above a budget, before it is trained."""
        most, most_ms = self.settings.max_madds, self.settings.max_ms
        over = most is not None and madds > most
        if most_ms is not None and not over:
            milliseconds = self.trial.milliseconds(context)
            trial.set_user_attr('milliseconds', milliseconds)
            over = milliseconds > most_ms
        if over:
            trial.set_user_attr('status', 'over budget')
            raise optuna.TrialPruned('over budget')

    def _twin(self, trial: optuna.Trial) -> tuple[float, ...] | None:
        """Return what a cell that computes the same has come to: it is not trained again."""
        key = trial.user_attrs[KEY]
        for other in finished_trials(self.study).values():
            same = other.user_attrs.get(KEY) == key and other.state == TrialState.COMPLETE
            if same and other.number != trial.number:
                for name in ('metrics', 'score', 'projection', 'rung', 'iterations'):
                    trial.set_user_attr(name, other.user_attrs.get(name))
                return tuple(other.values)
        return None


def context_of(cell: DenseCell) -> dict[str, Any]:
    """Return the config of a cell as a context module."""
    return {'type': 'DensePredictionCell', 'cell': cell.branches}


def main() -> None:
    """Work on a search that ``tools/search_cell.py`` has prepared."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--trials', type=int, required=True)
    parser.add_argument('--seed', type=int, required=True)
    parser.add_argument('--process', required=True)
    parser.add_argument('--storage')
    args = parser.parse_args()
    Search(args.folder, args.trials, args.seed, args.storage, args.process).work()


if __name__ == '__main__':
    with one_line_errors():
        main()
        sys.exit(0)
