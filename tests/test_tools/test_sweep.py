"""A sweep of searches, each of them a stand-in that leaves a tree at once."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'analysis_tools' / 'sweep_resource_loss.py'


@pytest.fixture
def sweep(monkeypatch, tmp_path, pytestconfig):
    """Run the tool; returns the overrides of the searches that it has started."""
    monkeypatch.chdir(pytestconfig.rootpath)

    def run(*words):
        started = []

        def search(command, check, env):
            folder = Path(command[command.index('--work-dir') + 1])
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy('configs/architectures/scenes.json', folder / 'architecture.json')
            started.append(command[command.index('--cfg-options') + 1 :])

        monkeypatch.setattr(subprocess, 'run', search)
        words = [str(TOOL), 'configs/search_scenes.py', '-o', str(tmp_path), *map(str, words)]
        monkeypatch.setattr(sys, 'argv', words)
        runpy.run_path(str(TOOL), run_name='__main__')
        return started

    return run


def test_weights_and_budgets(sweep, tmp_path):
    started = sweep('--weights', 0, 7, '--targets', 8e7, '--seeds', 0, 1, '--cfg-options', 'a=1')
    assert started == [
        [f'model.resource_loss.weight={weight}', f'randomness.seed={seed}', 'a=1', *budget]
        for weight, budget in (
            *((0.0, []), (7.0, [])),
            (1000.0, ['model.resource_loss.target_madds=80000000.0']),  # the config's lambda
        )
        for seed in (0, 1)
    ]
    rows = json.loads((tmp_path / 'sweep.json').read_text())
    madds = json.loads((ROOT / 'configs/architectures/scenes.json').read_text())['madds']['network']
    assert [row['madds'] for row in rows] == [madds] * 6
    last = (tmp_path / 'sweep.md').read_text().splitlines()[-1]
    assert last.startswith(f'| 1000 | 80.0 | 1 | {madds / 1e6:.1f} | {madds / 8e7 - 1:+.1%} | ')


def test_finished_searches_are_not_done_again(sweep):
    assert len(sweep('--targets', 8e7)) == 1
    assert sweep('--targets', 8e7) == []
    assert len(sweep('--targets', 8e7, '--target-weight', 5)) == 1


def test_nothing_to_do(sweep, capsys):
    with pytest.raises(SystemExit, match='1'):
        sweep()
    assert 'name --weights, --targets or both' in capsys.readouterr().err
