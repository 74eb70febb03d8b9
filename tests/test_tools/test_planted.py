"""The tool of the planted problems, and that the planted tree is the best."""

import csv
import itertools
import math
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from mmbmtas import launch
from mmbmtas.registry import MODELS
from mmbmtas.structures import TaskGrouping

TOOLS = Path(__file__).parents[2] / 'tools' / 'analysis_tools'


def read_csv(path):
    with path.open(newline='') as file:
        return [*csv.DictReader(file)]


@pytest.fixture(scope='module')
def planting():
    """The modules beside the tool, which lie in no package."""
    sys.path.insert(0, str(TOOLS))
    try:
        from planting import problems, report, runs

        yield {**vars(problems), **vars(report), **vars(runs)}
    finally:
        sys.path.remove(str(TOOLS))


class TestProblems:
    def test_a_tree_in_letters(self, planting):
        problem = planting['Problem']('mine', 'abc/ac|b', width=2)
        assert problem.tasks == ['a', 'b', 'c']
        assert problem.tree == (TaskGrouping(((0, 1, 2),)), TaskGrouping(((0, 2), (1,))))
        assert problem.describe(problem.tree) == problem.text
        # 3x3 convolutions of 3 to 2 and, twice, of 2 to 2 channels; three readouts of 2.
        assert problem.madds(problem.tree) == 256 * (9 * 6 + 2 * 9 * 4 + 3 * 2)

    def test_what_is_no_tree(self, planting):
        with pytest.raises(ValueError, match='abc/ab'):
            _ = planting['Problem']('mine', 'abc/ab|z').tree

    def test_there_are_enough(self, planting):
        trees = [problem.tree for problem in planting['PROBLEMS'].values()]
        assert len({*trees}) == len(trees) >= 10
        assert {tree[0].num_tasks for tree in trees} == {4, 5, 6}
        for tree in trees:
            assert all(b.refines(a) for a, b in itertools.pairwise(tree))

    def test_any_width_and_number_of_tasks_is_built(self, planting):
        """The base config has four channels and four tasks."""
        cfg = launch.read_config(str(planting['CONFIGS'] / 'similarity.py'))
        planting['plant'](cfg, planting['Problem']('mine', 'abcde/abc|d|e', width=2), 0)
        init_default_scope(cfg.default_scope)
        model = MODELS.build(launch.fill_in(cfg).model)
        assert all(head.in_channels[-1] == 2 for head in model.decode_heads.values())


class TestFigures:
    def rows(self, *found):
        keys = ('recovered', 'error', 'planted_error', 'shared_error')
        return [dict(zip(keys, values, strict=True)) for values in found]

    def test_wilson(self, planting):
        """Published: 8 of 10 has 0.490 to 0.943."""
        share, low, high = planting['recovery'](self.rows(*[(i < 8, 0, 0, 0) for i in range(10)]))
        assert (share, low, high) == pytest.approx((0.8, 0.490, 0.943), abs=1e-3)

    def test_regret_divides_sums(self, planting):
        rows = self.rows((0, 0.3, 0.1, 0.5), (1, 0.2, 0.2, 0.4))
        assert planting['regret'](rows) == pytest.approx(0.2 / 0.6)
        assert math.isnan(planting['regret'](self.rows((1, 0.2, 0.2, 0.2))))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the tool in this process, with results in a folder of the test."""

    def run_tool(*words):
        monkeypatch.setattr(sys, 'argv', ['planted.py', '-o', str(tmp_path), *words])
        monkeypatch.syspath_prepend(str(TOOLS))
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOLS / 'planted.py'), run_name='__main__')
        assert ended.value.code == 0

    return run_tool


def test_rows_are_made_once_and_reported(tmp_path, run, capsys):
    """Methods without training, so that it is quick."""
    words = ['--trees', 'abc/ab|c', '--methods', 'random', 'vanilla', '--no-regret']
    for seeds in (['0'], ['0', '1']):
        run(*words, '--seeds', *seeds)
    shown = capsys.readouterr().out
    assert shown.count('1 of 1: abc/ab|c (width 4), seed') == 2  # each seed once
    rows = (tmp_path / 'results.csv').read_text().splitlines()
    assert len(rows) == 1 + 2 * 2
    report = (tmp_path / 'report.md').read_text()
    assert '| random | 2 |' in report
    assert (tmp_path / 'recovery.png').stat().st_size > 1000


def test_rows_without_errors_stay_until_they_are_made_again(tmp_path, run):
    words = ['--trees', 'ab', '--seeds', '0', '--methods']
    run(*words, 'random', 'vanilla', '--no-regret')
    run(*words, 'random')
    rows = read_csv(tmp_path / 'results.csv')
    assert [(row['method'], row['error'] == 'nan') for row in rows] == [
        ('random', False),
        ('vanilla', True),
    ]


@pytest.mark.slow
def test_the_planted_tree_is_the_best_of_its_cost(planting):
    """Trained three times each, of all trees of 4 tasks and 3 layers within 5 % of its cost."""
    problem, train = planting['PROBLEMS']['pairs, layer 1'], planting['train']
    budget = problem.madds(problem.tree)
    trees = [tree for tree in all_trees(4, 3) if 0.95 <= problem.madds(tree) / budget <= 1.05]
    assert len(trees) > 20
    errors = {tree: np.mean([train(problem, seed, tree) for seed in range(3)]) for tree in trees}
    assert min(errors, key=errors.get) == problem.tree


def all_trees(num_tasks, num_layers):
    """Every chain of partitions, each a refinement of the one before."""
    from mmbmtas.structures import all_groupings

    chains = [()]
    for _ in range(num_layers):
        chains = [
            (*chain, grouping)
            for chain in chains
            for grouping in all_groupings(num_tasks)
            if not chain or grouping.refines(chain[-1])
        ]
    return chains


@pytest.mark.slow
def test_quick(tmp_path):
    """As CI runs it."""
    command = [sys.executable, str(TOOLS / 'planted.py'), '-o', str(tmp_path), '--quick']
    assert subprocess.run(command).returncode == 0
