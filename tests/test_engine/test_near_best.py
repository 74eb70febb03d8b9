"""The sampler of cells, on an objective whose best cell is the published one."""

from pathlib import Path

import numpy as np
import pytest

from mmbmtas.cells.near_best import NearBestRule, Tried
from mmbmtas.errors import InputError
from mmbmtas.structures import CellSpace, DenseCell

optuna = pytest.importorskip('optuna')
from mmbmtas.cells.sampler import (  # noqa: E402
    GenerationHalving,
    NearBest,
    Places,
    from_params,
    suggest_cell,
    to_params,
)

optuna.logging.set_verbosity(optuna.logging.WARNING)
FOUND = DenseCell.load(Path(__file__).parents[2] / 'configs/cells/dpc_cityscapes.json')
SPACE = CellSpace()


def quality(cell):
    """Of each branch 1 for the input, up to 1 for rates near the published ones: 10 at most."""
    total = 0.0
    for read, operation, best_read, best in zip(
        cell.inputs, cell.operations, FOUND.inputs, FOUND.operations, strict=True
    ):
        total += read == best_read
        if operation.kernel == (3, 3):
            pairs = zip(operation.rate, best.rate, strict=True)
            total += 1 - sum(abs(rate - other) for rate, other in pairs) / 40
    return total


def search(rule, seed, trials):
    tried = []
    while len(tried) < trials:
        generation = len(tried) // rule.generation
        for proposal in rule.propose(seed, generation, [*tried]):
            key = proposal.cell.key(rule.size)
            tried.append(Tried(len(tried), proposal.cell, key, quality(proposal.cell)))
    return tried[:trials]


def best_of_seeds(seeds, **options):
    found = []
    for seed in seeds:
        tried = search(NearBestRule(SPACE, generation=4, **options), seed, 1000)
        assert len({one.key for one in tried}) == 1000
        found.append(max(one.score for one in tried))
    return found


def test_neighbours_of_the_best_come_nearer():
    """Two of the ten seeds of the next test."""
    assert min(best_of_seeds(range(2))) >= 9.6
    assert max(best_of_seeds(range(2), p_near=0.0)) <= 9.0


@pytest.mark.slow
def test_figures_of_the_specification():
    by_field = best_of_seeds(range(10))
    by_branch = best_of_seeds(range(10), mutation='branch')
    uniform = best_of_seeds(range(10), p_near=0.0)
    assert min(by_field) >= 9.6
    assert min(by_branch) >= 9.2
    assert max(uniform) <= 9.0
    assert np.mean(uniform) < np.mean(by_branch) < np.mean(by_field)


def test_a_generation_depends_on_seed_number_and_earlier_results_alone():
    rule = NearBestRule(SPACE, generation=8, warm=8)
    tried = search(rule, 3, 16)
    rng = np.random.default_rng(0)
    again = rule.propose(3, 2, [tried[i] for i in rng.permutation(16)])
    assert again == rule.propose(3, 2, tried)
    assert again != rule.propose(4, 2, tried)
    assert {one.parent for one in again} > {None}
    worse = [Tried(t.trial, t.cell, t.key, -t.score) for t in tried]
    assert again != rule.propose(3, 2, worse)


def test_first_cells_are_uniform_and_parents_are_among_the_best():
    rule = NearBestRule(SPACE, p_near=1.0, pool=3, warm=20, generation=16)
    tried = []
    for number in range(4):
        proposals = rule.propose(0, number, tried)
        best = sorted(tried, key=lambda t: -t.score)[:3]
        for index, proposal in enumerate(proposals):
            warm = number * 16 + index < 20
            parents = {t.trial for t in best}
            assert proposal.parent is None if warm else proposal.parent in parents
            if not warm:
                parent = tried[proposal.parent].cell
                assert proposal.cell in [*SPACE.neighbours(parent)]
        for proposal in proposals:
            key = proposal.cell.key()
            tried.append(Tried(len(tried), proposal.cell, key, quality(proposal.cell)))


def test_a_space_without_new_cells_is_told():
    rule = NearBestRule(CellSpace(1, rates=(1,), grids=(1,)), generation=4)
    with pytest.raises(InputError, match='3 cells of the space differ'):
        rule.propose(0, 0, [])


def test_only_affordable_cells_are_proposed():
    rule = NearBestRule(SPACE, affordable=lambda cell: cell.inputs[4] == -1)
    assert all(one.cell.inputs[4] == -1 for one in rule.propose(0, 0, []))


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ({'p_near': 1.5}, 'p_near of NearBest 1.5'),
        ({'pool': 0}, 'pool of NearBest 0'),
        ({'generation': 0}, 'generation of NearBest 0'),
        ({'warm': -1}, 'warm of NearBest -1'),
        ({'mutation': 'input'}, "mutation 'input'"),
    ],
)
def test_refuses_numbers_without_meaning(option, message):
    with pytest.raises(InputError, match=message):
        NearBestRule(SPACE, **option)


class TestInOptuna:
    def test_parameters_hold_a_cell(self):
        assert from_params(SPACE, to_params(FOUND)) == FOUND

    def test_a_plain_study_tries_what_the_rule_proposes(self):
        rule = NearBestRule(SPACE, generation=4, warm=4)
        sampler = NearBest(rule, seed=5)
        study = optuna.create_study(direction='maximize', sampler=sampler)
        cells = []

        def objective(trial):
            cells.append(suggest_cell(trial, SPACE))
            return quality(cells[-1])

        study.optimize(objective, n_trials=12)
        assert cells == [tried.cell for tried in search(rule, 5, 12)]
        assert [*sampler.parents] == [*range(12)]
        for place, parent in sampler.parents.items():
            assert parent is None or cells[place] in [*SPACE.neighbours(cells[parent])]
        assert {*sampler.parents.values()} > {None}

    def test_halving_lets_the_best_third_of_earlier_generations_pass(self):
        study = optuna.create_study(direction='maximize')
        places = Places(references=2, generation=6)
        pruner = GenerationHalving(places)
        for place in range(8):  # two references and a generation
            trial = study.ask()
            trial.set_user_attr('place', place)
            trial.report(place, 1)
            frozen = study.trials[trial.number]
            assert not pruner.prune(study, frozen)
            study.tell(trial, 1.0)
        passed = []
        for score in (5.5, 6, 7, 100):  # the best third of 2 to 7 are 6 and 7
            trial = study.ask()
            trial.set_user_attr('place', 8)
            trial.report(score, 1)
            passed.append(not pruner.prune(study, study.trials[trial.number]))
        assert passed == [False, True, True, True]
