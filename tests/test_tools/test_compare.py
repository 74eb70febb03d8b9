"""The comparison's command line on small scenes, from the first training to the report."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CELL = ROOT / 'configs' / 'cells' / 'dpc_cityscapes.json'
CONFIG = """
_base_ = [{branched!r}]
tasks = ['normals', 'edge']
train_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
test_evaluator = [dict(type='mmbmtas.NormalsMetric'), dict(type='mmbmtas.EdgePixelMetric')]
"""
SPEC = """
data_root = {scenes!r}
branched = 'branched.py'
train_options = {{'max_iters': 2, 'total_batch_size': 2, 'train_cfg.val_begin': 10**9}}
models = dict(
    single=dict(kind='single'),
    vanilla=dict(kind='vanilla', budget=4e7),
    dpc=dict(kind='cell', reference='vanilla', cell={cell!r}),
)
"""


@pytest.mark.slow
def test_a_comparison_that_was_interrupted(tmp_path, scenes_roots):
    branched = str(ROOT / 'configs' / 'branched_scenes.py')
    (tmp_path / 'branched.py').write_text(CONFIG.format(branched=branched))
    (tmp_path / 'spec.py').write_text(
        SPEC.format(scenes=str(scenes_roots['pascal']), cell=str(CELL))
    )
    command = [sys.executable, ROOT / 'tools' / 'compare.py', 'spec.py', '-o', 'out', '--jobs', '2']
    options = {'cwd': tmp_path, 'text': True, 'env': {**os.environ, 'OMP_NUM_THREADS': '1'}}

    log = tmp_path / 'first.log'
    with log.open('w') as file, subprocess.Popen(command, stdout=file, **options) as process:
        while 'train begins' not in log.read_text():
            assert process.poll() is None
            time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    assert 'tree done' in log.read_text()

    done = subprocess.run(command, capture_output=True, timeout=1800, **options)
    assert done.returncode == 0, done.stderr + done.stdout
    assert 'normals/tree begins' not in done.stdout or 'edge/tree begins' not in done.stdout
    with (tmp_path / 'out' / 'results.csv').open() as file:
        single, vanilla, dpc = csv.DictReader(file)
    assert {row['status'] for row in (single, vanilla, dpc)} == {'done'}
    assert dpc['madds'] != vanilla['madds']
    assert float(single['delta_m']) == 0
    gains = [
        (float(single['normals/mean']) - float(vanilla['normals/mean']))
        / float(single['normals/mean']),
        (float(vanilla['edge/pixel_AP']) - float(single['edge/pixel_AP']))
        / float(single['edge/pixel_AP']),
    ]
    assert float(vanilla['delta_m']) == pytest.approx(100 * sum(gains) / 2)
    assert int(vanilla['madds']) < int(single['madds'])
    assert float(vanilla['latency_ms']) > 0
    for name in ('report.md', 'report.html', 'pareto.png', 'trees.png', 'cell_dpc.png'):
        assert (tmp_path / 'out' / name).stat().st_size > 500
    assert 'vanilla' in (tmp_path / 'out' / 'report.md').read_text()

    again = subprocess.run(command, capture_output=True, timeout=600, **options)
    assert again.returncode == 0
    assert 'begins' not in again.stdout
