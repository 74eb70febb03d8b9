"""The timing of inference."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from mmbmtas.structures import BranchedArchitecture

ROOT = Path(__file__).parents[2]
TOOL = str(ROOT / 'tools' / 'analysis_tools' / 'benchmark.py')


def test_warmup_is_not_timed():
    calls = []
    time_passes = runpy.run_path(TOOL)['time_passes']
    seconds = time_passes(lambda: calls.append(1), torch.device('cpu'), warmup=3, repeats=4)
    assert (len(calls), len(seconds)) == (7, 4)
    assert min(seconds) >= 0


def test_summary_of_known_times():
    summary = runpy.run_path(TOOL)['summarise']([0.1, 0.2, 0.3], batch_size=4)
    assert summary['latency/median_ms'] == pytest.approx(200)
    assert summary['images_per_second'] == pytest.approx(20)
    assert summary['latency/lower_quartile_ms'] <= 200 <= summary['latency/upper_quartile_ms']


def test_branched_config_is_timed(tmp_path, monkeypatch, capsys):
    tasks = ('semseg', 'human_parts', 'saliency', 'normals', 'edge')
    tree = BranchedArchitecture.shared(tasks, {'type': 'MobileNetV2Encoder'}, 18)
    tree.save(tmp_path / 'tree.json')
    words = f'--shape 64 64 --warmup 0 --repeats 2 --out {tmp_path}/times.json'.split()
    options = ['--cfg-options', f'architecture={tmp_path}/tree.json']
    config = str(ROOT / 'configs' / 'branched_pascal.py')
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', config, *words, *options])
    runpy.run_path(TOOL, run_name='__main__')
    assert 'images_per_second' in capsys.readouterr().out
    times = json.loads((tmp_path / 'times.json').read_text())
    assert times['latency/median_ms'] > 0
