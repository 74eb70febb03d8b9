"""Samplers and pruners of Optuna for the search of cells."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from mmbmtas.cells.near_best import NearBestRule, Proposal, Tried
from mmbmtas.errors import InputError
from mmbmtas.structures import CellSpace, DenseCell

PLACE, CELL, KEY, PARENT, ERROR = 'place', 'cell', 'key', 'parent', 'error'
"""Names of user attributes of a trial."""


def distributions(space: CellSpace) -> dict[str, BaseDistribution]:
    """Describe the cells of a space as parameters: an input and an operation for each branch."""
    found: dict[str, BaseDistribution] = {}
    for index in range(space.branches):
        found[f'input{index}'] = CategoricalDistribution([*range(-1, index)])
        found[f'operation{index}'] = CategoricalDistribution([*map(str, space.operations)])
    return found


def to_params(cell: DenseCell) -> dict[str, Any]:
    """Return the parameters of a cell."""
    params: dict[str, Any] = {}
    for index, (read, operation) in enumerate(zip(cell.inputs, cell.operations, strict=True)):
        params[f'input{index}'] = read
        params[f'operation{index}'] = str(operation)
    return params


def from_params(space: CellSpace, params: dict[str, Any]) -> DenseCell:
    """Return the cell of parameters."""
    named = {str(operation): operation for operation in space.operations}
    branches = range(space.branches)
    return DenseCell(
        tuple(params[f'input{index}'] for index in branches),
        tuple(named[params[f'operation{index}']] for index in branches),
    )


def suggest_cell(trial: optuna.Trial, space: CellSpace) -> DenseCell:
    """Ask the study's sampler for a cell."""
    params: dict[str, Any] = {}
    for name, distribution in distributions(space).items():
        assert isinstance(distribution, CategoricalDistribution)
        params[name] = trial.suggest_categorical(name, distribution.choices)
    return from_params(space, params)


class Places:
    """Where a trial stands in the search, whatever its number in the study.

    The first places are those of the references: the first alone, since scores refer to it, then
    the others. Generations follow.

    Args:
        references: Number of references.
        generation: Trials of a generation.
    """

    def __init__(self, references: int, generation: int) -> None:
        self.references, self.generation = references, generation

    def generation_of(self, place: int) -> int:
        """Number of the generation that a place belongs to; references come first."""
        if place < self.references:
            return min(place, 1)
        return 2 + (place - self.references) // self.generation

    def proposed(self, place: int) -> tuple[int, int]:
        """Return the number among the generations of cells, and the place in it."""
        return divmod(place - self.references, self.generation)


def finished_trials(study: optuna.Study) -> dict[int, FrozenTrial]:
    """Return the finished trials by their places; if a place has several, the first one."""
    found: dict[int, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False):
        place = trial.user_attrs.get(PLACE)
        if place is not None and is_finished(trial):
            found.setdefault(place, trial)
    return found


def is_finished(trial: FrozenTrial) -> bool:
    """Tell whether a trial has finished: it was scored or pruned, or failed with an error."""
    ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    return ended or (trial.state == TrialState.FAIL and ERROR in trial.user_attrs)


class NearBest(optuna.samplers.BaseSampler):
    """Uniform cells and neighbours of the best, by generations; see :class:`NearBestRule`.

    It samples all parameters of :func:`distributions` together. In a study without references and
    without the user attribute ``place``, a trial's number is its place.

    Attributes:
        parents: By number of a trial that was sampled, the place of the trial whose neighbour it
            is; None for a uniform cell.

    Args:
        rule: Which cells are proposed.
        seed: Of the search.
        references: Places before the first generation.
    """

    def __init__(self, rule: NearBestRule, seed: int = 0, references: int = 0) -> None:
        self.rule, self.seed = rule, seed
        self.places = Places(references, rule.generation)
        self.parents: dict[int, int | None] = {}
        self._last: tuple[int, list[Proposal]] | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that are sampled together: all."""
        return distributions(self.rule.space)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Return the cell for the trial's place, and record which cell it is a neighbour of."""
        number, index = self.places.proposed(self._place(trial))
        if self._last is None or self._last[0] != number:
            earlier = self._earlier(study, number)
            self._last = number, self.rule.propose(self.seed, number, earlier)
        proposal = self._last[1][index]
        self.parents[trial.number] = proposal.parent
        return to_params(proposal.cell)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Refuse parameters that do not belong to a cell.

        Raises:
            InputError: Always.
        """
        raise InputError(f'NearBest samples cells, not {param_name}')

    @staticmethod
    def _place(trial: FrozenTrial) -> int:
        return trial.user_attrs.get(PLACE, trial.number)

    def _earlier(self, study: optuna.Study, number: int) -> list[Tried]:
        """List what was tried in the generations before one, references included."""
        found: dict[int, Tried] = {}
        for trial in study.get_trials(deepcopy=False):
            place = self._place(trial)
            before = self.places.proposed(place)[0] < number
            if before and is_finished(trial) and place not in found:
                found[place] = self._tried(place, trial)
        return [*found.values()]

    def _tried(self, place: int, trial: FrozenTrial) -> Tried:
        branches = trial.user_attrs.get(CELL)
        if branches is not None:
            cell: DenseCell | None = DenseCell.from_branches(branches)
        elif trial.params:
            cell = from_params(self.rule.space, trial.params)
        else:
            cell = None
        complete = trial.state == TrialState.COMPLETE
        key = None if cell is None else cell.key(self.rule.size)
        return Tried(place, cell, key, trial.values[0] if complete else None)


class GenerationHalving(optuna.pruners.BasePruner):
    """Successive halving that does not depend on the order in which trials finish.

    A trial goes on past a rung if its score there is among the best third of those that earlier
    generations reached at the rung; the first generation goes on whatever it reached. The trial
    keeps its own weights.

    Args:
        places: Where trials stand.
        share: Share of trials that go on.
    """

    def __init__(self, places: Places, share: float = 1 / 3) -> None:
        self.places, self.share = places, share

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Tell whether a trial ends at the rung that it has reported last."""
        rung = trial.last_step
        generation = self.places.generation_of(trial.user_attrs[PLACE])
        if rung is None or generation < 2:  # references are always trained to the end
            return False
        scores = [
            other.intermediate_values[rung]
            for place, other in finished_trials(study).items()
            if 2 <= self.places.generation_of(place) < generation
            and rung in other.intermediate_values
        ]
        return bool(scores) and trial.intermediate_values[rung] < self._bound(scores)

    def _bound(self, scores: Sequence[float]) -> float:
        """Return the least score of the best share."""
        count = max(1, round(len(scores) * self.share))
        return sorted(scores, reverse=True)[count - 1]
