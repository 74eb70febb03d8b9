"""The summary of a demo: its form, and who beats the constant."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmbmtas.comparison.summary import beats_constant, format_summary, score_constants, summarise
from mmbmtas.evaluation import (
    HumanPartsMetric,
    NormalsMetric,
    SaliencyMetric,
    SemSegMetric,
)
from mmbmtas.evaluation.metrics import EdgePixelMetric
from mmbmtas.scenes import write_scenes

ROOT = Path(__file__).parents[2]
FIVE = ('semseg', 'human_parts', 'saliency', 'normals', 'edge')


@pytest.fixture
def summary():
    metrics = SemSegMetric, HumanPartsMetric, SaliencyMetric, NormalsMetric
    headlines = [metric.headline_of() for metric in metrics]
    headlines += [EdgePixelMetric.headline_of()]
    numbers = {headline.key: 40.0 for headline in headlines}
    costs = {
        name: {'madds': i * 1_000_000, 'params': i * 1000, 'madds_paper': 1.0}
        for i, name in enumerate(['shared', 'network', 'all_apart', 'single'], start=1)
    }
    random = {'network': {'madds': 2_010_000, 'params': 2500, 'madds_paper': 1.0}}
    constants = dict.fromkeys(numbers, 30.0)
    return summarise(
        headlines, numbers, dict.fromkeys(numbers, 50.0), constants, costs, random
    ), headlines


def test_the_form_of_the_summary(summary):
    summary, _ = summary
    assert set(summary) == {'tasks', 'delta_m', 'madds', 'params'}
    # 40 against 50: a fifth worse in four tasks, a fifth better where lower is better.
    assert summary['delta_m'] == pytest.approx(-100 * (4 * 0.2 - 0.2) / 5)
    assert summary['tasks']['normals'] == {
        'metric': 'normals/mean',
        'value': 40.0,
        'random': 50.0,
        'constant': 30.0,
        'lower_is_better': True,
    }
    assert summary['madds'] == {
        'searched': 2_000_000,
        'random': 2_010_000,
        'shared': 1_000_000,
        'all_apart': 3_000_000,
        'single': 4_000_000,
    }
    assert list(summary['params']) == list(summary['madds'])


def test_lower_can_be_better(summary):
    summary, headlines = summary
    better = {task: beats_constant(entry) for task, entry in summary['tasks'].items()}
    assert better == {task: task != 'normals' for task in FIVE}
    table = format_summary(summary, headlines)
    assert (
        '| normals | mean (lower is better) | 40.00° | 50.00° | 30.00° | **not better** |' in table
    )
    assert 'over the random one: -12.0 %' in table
    assert '| all apart | 3.0 M | 3 k |' in table


def test_a_constant_no_better_than_itself():
    entry = {'value': 1.0, 'constant': 1.0, 'lower_is_better': False}
    assert not beats_constant(entry)


def test_constants_of_the_scenes_config(tmp_path):
    write_scenes(tmp_path / 'scenes', 'pascal', train=6, val=4, size=(64, 80))
    cfg = Config.fromfile(ROOT / 'configs/branched_scenes.py')
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(tmp_path / 'scenes')
    headlines, constants = score_constants(cfg)
    assert [headline.key.split('/')[0] for headline in headlines] == [*FIVE]
    assert 0 < constants['saliency/maxIoU'] < 100
    assert 10 < constants['normals/mean'] < 120
    # A constant ranks no pixel before another: its precision is the share of edges at every recall.
    assert 0 < constants['edge/pixel_AP'] < 50


def test_ci_finds_a_demo_without_pictures_incomplete(tmp_path, summary):
    (tmp_path / 'summary.json').write_text(json.dumps(summary[0]))
    command = [sys.executable, ROOT / '.ci/check_demo.py', tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert 'architecture.json' in done.stderr
