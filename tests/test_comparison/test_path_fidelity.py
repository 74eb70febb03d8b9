"""Paths judged in the supernet and after training: which, how, and what the report says."""

import csv
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from scipy.stats import spearmanr

from mmbmtas import launch
from mmbmtas.comparison.path_fidelity import Judged, draw_sets, judge, plan, write_fidelity
from mmbmtas.engine.runner.train_loader import batches
from mmbmtas.errors import InputError
from mmbmtas.launch.jobs import StepFolders

ROOT = Path(__file__).parents[2]
SEARCH, TRAINING = (str(ROOT / f'configs/mpnas/{kind}_pocket.py') for kind in ('search', 'paths'))


@pytest.fixture(scope='module')
def searched(layouts, tmp_path_factory):
    """Options of a short search of two domains of noise, its checkpoint and its runner."""
    folder = tmp_path_factory.mktemp('fidelity')
    layouts.write_pocket(folder / 'data')
    options = {
        'data_root': str(folder / 'data'),
        'tasks': ['digits', 'faces'],
        'total_batch_size': 4,
        'weight_iters': 2,
    }
    cfg = launch.read_config(SEARCH, options)
    cfg.work_dir = str(folder / 'search')
    init_default_scope(cfg.default_scope)
    runner = launch.build_runner(cfg)
    runner.train()
    return options, str(folder / 'search/iter_2.pth'), runner


def test_all_sets_see_the_same_validation_batches(searched, tmp_path):
    options, checkpoint, runner = searched
    sets = draw_sets(SEARCH, options, checkpoint, 2, 5)
    assert [*sets] == ['searched', 'random_1', 'random_2']
    assert sets['searched'] == runner.train_loop.export_architecture()
    assert sets['random_1'] != sets['random_2']
    found = judge(SEARCH, options, checkpoint, sets, 2, tmp_path)
    loop = runner.train_loop
    images = [
        loop.model.data_preprocessor(b, True)
        for b, _ in zip(batches(loop.arch_dataloader, 0, 0), range(2), strict=False)
    ]
    for name, paths in sets.items():
        qualities = [
            np.mean([*loop.model.quality(d['inputs'], d['data_samples'], paths.routing).values()])
            for d in images
        ]
        assert found[name][1] == pytest.approx(np.mean(qualities), abs=1e-6)
        assert found[name][0] == loop.model.network_cost.paths(paths, 'params').union


def test_other_domains_than_the_search_had(searched):
    options, checkpoint, _ = searched
    with pytest.raises(InputError, match=r"domains \['digits', 'faces'\], .* tasks=\[\.\.\.\]"):
        draw_sets(SEARCH, {**options, 'tasks': ['digits']}, checkpoint, 1, 0)


def test_a_config_of_no_search(searched, tmp_path):
    options, checkpoint, _ = searched
    sets = draw_sets(SEARCH, options, checkpoint, 1, 0)
    own = {name: value for name, value in options.items() if name != 'weight_iters'}
    with pytest.raises(InputError, match='trains by IterBasedTrainLoop: expected the config of a'):
        judge(TRAINING, own, checkpoint, sets, 1, tmp_path)


def test_trainings_differ_in_their_paths_alone(searched, tmp_path):
    options, checkpoint, _ = searched
    sets = draw_sets(SEARCH, options, checkpoint, 2, 0)
    folders = StepFolders(tmp_path)
    tests = plan(TRAINING, {'max_iters': 7}, sets, 3, folders, ROOT / 'tools')
    words = {name: [*map(str, test.needs[0].command())] for name, test in tests.items()}
    for name, own in words.items():
        assert {'max_iters=7', 'randomness.seed=3'} <= {*own}
        (file,) = (word.partition('=')[2] for word in own if word.startswith('architecture='))
        assert json.loads(Path(file).read_text()) == sets[name].to_dict()
    assert len({json.dumps(test.settings['options']) for test in tests.values()}) == 1
    assert len({test.settings['paths'] for test in tests.values()}) == 3


def test_the_report(tmp_path):
    supernet, full = [0.5, 0.4, 0.6, 0.3, 0.2], [80.0, 81.0, 82.0, 70.0, 60.0]
    rows = [
        Judged('searched' if i == 0 else f'random_{i}', 1000 + i, quality, score)
        for i, (quality, score) in enumerate(zip(supernet, full, strict=True))
    ]
    rows.append(Judged('random_5', 1005, 0.9, None))  # its training has failed
    summary = write_fidelity(tmp_path, 'the command', 'top1', rows)
    rho = spearmanr(supernet, full).statistic
    assert f"Spearman's rho {rho:.2f} (n = 5)" in summary
    assert 'searched paths score 80.000; 2 of 4 random ones are better, their mean is' in summary
    assert summary in (tmp_path / 'report.md').read_text().replace('\n', ' ')
    assert (tmp_path / 'fidelity.png').is_file()
    with (tmp_path / 'fidelity.csv').open() as file:
        table = [*csv.DictReader(file)]
    assert table[0] == {
        'paths': 'searched',
        'parameters': '1000',
        'supernet': '0.5000',
        'top1': '80.000',
    }
    assert table[5]['top1'] == ''


@pytest.mark.slow
def test_the_tool(searched, tmp_path, monkeypatch, capsys):
    options, checkpoint, _ = searched
    words = [SEARCH, checkpoint, TRAINING, '-o', str(tmp_path), '--number', '2', '--iters', '2']
    words += ['--batches', '1', '--cfg-options', f'data_root={options["data_root"]}']
    words += ['tasks=[digits,faces]', 'total_batch_size=4']
    monkeypatch.setattr(sys, 'argv', ['path_fidelity.py', *words])
    tool = str(ROOT / 'tools/analysis_tools/path_fidelity.py')
    for _ in range(2):  # the second time all is done
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(tool, run_name='__main__')
        assert caught.value.code == 0
        assert '(n = 3)' in capsys.readouterr().out
    assert (
        torch.load(tmp_path / 'work/random_1/train/iter_2.pth', weights_only=False)['meta']['iter']
        == 2
    )
