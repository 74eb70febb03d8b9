"""A search by tools/train.py that is killed again and again ends as one that is left alone."""

import os
import pprint
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmbmtas.structures import BranchedArchitecture

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TASKS = ('semseg', 'normals', 'edge')
PARTS = '''
import time

import toys
from mmbmtas.engine import checkpoint_files
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class SlowHook(Hook):
    """Notes iterations, and lets time go by in each and while checkpoints are written."""

    def before_train(self, runner):
        if runner.work_dir.endswith('killed'):
            sync = checkpoint_files.os.fsync
            checkpoint_files.os.fsync = lambda file: (sync(file), time.sleep(1))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        time.sleep(0.05 * runner.work_dir.endswith('killed'))
        with open(f'{runner.work_dir}/progress', 'a') as file:
            file.write(f'{runner.iter}\\n')
'''
CONFIG = """
_base_ = [
    '{configs}/_base_/datasets/scenes_search.py',
    '{configs}/_base_/schedules/search.py',
]
custom_imports = dict(imports=['mmbmtas', 'killing_parts'])
total_batch_size = 2
model = {model}
val_evaluator = [dict(type='mmbmtas.NormalsMetric')]
test_evaluator = val_evaluator
train_cfg = dict(weight_iters=14, warmup_iters=2, arch_fraction=0.5)
param_scheduler = dict(
    weights=[dict(type='PolyLR', power=0.9, eta_min=0, by_epoch=False, end=14)], arch_params=[]
)
optim_wrapper = dict(weights=dict(optimizer=dict(lr=0.05)))
custom_hooks = [*_base_.custom_hooks, dict(type='SlowHook')]
default_hooks = dict(checkpoint=dict(interval=4, max_keep_ckpts=1), logger=dict(interval=5))
"""


@pytest.fixture
def command(tmp_path, toys, scenes_roots):
    (tmp_path / 'killing_parts.py').write_text(PARTS)
    model = toys.search_config(TASKS, toys.TINY, weight=1.0)
    model['data_preprocessor'] = {
        'type': 'mmengine.ImgDataPreprocessor',
        'mean': [127.5] * 3,
        'std': [127.5] * 3,
        'bgr_to_rgb': True,
    }
    config = tmp_path / 'search.py'
    config.write_text(CONFIG.format(configs=ROOT / 'configs', model=pprint.pformat(model)))
    tool = ROOT / 'tools' / 'train.py'
    data = f'data_root={scenes_roots["pascal"]}'
    return [sys.executable, tool, config, '--resume', '--cfg-options', data]


@pytest.fixture
def start(command, tmp_path):
    """Start a run in a work directory, its workers in the same process group."""
    paths = [str(tmp_path), str(ROOT / 'tests'), str(ROOT)]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join(paths)}
    started = []

    def run(name):
        with (tmp_path / f'{name}.log').open('a') as log:
            process = subprocess.Popen(
                [*command, '--work-dir', name],
                cwd=tmp_path,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def wait_until(event, process):
    end = time.monotonic() + 300
    while not event():
        assert process.poll() is None, 'the run ended by itself'
        assert time.monotonic() < end
        time.sleep(0.01)


def count_iterations(work):
    path = work / 'progress'
    return len(path.read_text().splitlines()) if path.is_file() else 0


def test_a_killed_worker_ends_the_run_in_one_line(start, tmp_path):
    process = start('killed')
    wait_until(lambda: count_iterations(tmp_path / 'killed') >= 6, process)
    listed = Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
    os.kill(int(listed[-1]), signal.SIGKILL)
    assert process.wait(timeout=120) == 1
    lines = (tmp_path / 'killed.log').read_text().splitlines()
    (line,) = [line for line in lines if line.startswith('error: ')]
    assert re.match(r'error: iteration \d+ of 26 \(.*\): DataLoader worker \(pid', line)
    assert (tmp_path / 'killed' / 'iter_4.pth').is_file()


def test_killed_again_and_again(start, tmp_path):
    work = tmp_path / 'killed'
    rng = random.Random(0)

    def iterations():
        return count_iterations(work)

    def is_writing():
        return any(work.glob('.iter_*.pth.*.part/*.pth'))

    for number in range(6):
        process = start('killed')
        before, pause = iterations(), rng.random() * 0.5
        if number % 2:
            wait_until(is_writing, process)
        else:
            # before the first checkpoint, later after one or two more
            more = rng.randrange(1, 4) if number == 0 else rng.randrange(5, 9)
            wait_until(lambda more=more, before=before: iterations() >= before + more, process)
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert len([*work.glob('*.pth')]) <= 2
    assert is_writing()
    assert start('killed').wait(timeout=300) == 0, (tmp_path / 'killed.log').read_text()[-3000:]
    assert start('whole').wait(timeout=300) == 0
    assert not [*work.rglob('*.part')]

    states = [
        torch.load(tmp_path / name / 'iter_26.pth', weights_only=False)
        for name in ('killed', 'whole')
    ]
    for part in ('state_dict', 'optimizer'):
        one, other = (flatten(state[part]) for state in states)
        assert one.keys() == other.keys()
        assert [key for key in one if not torch.equal(one[key], other[key])] == []
    trees = [
        BranchedArchitecture.load(tmp_path / name / 'architecture.json')
        for name in ('killed', 'whole')
    ]
    assert trees[0].routing == trees[1].routing


def flatten(value, name=''):
    """Collect the tensors of nested dicts and lists."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        key: tensor
        for index, child in items
        if isinstance(child, dict | list | torch.Tensor)
        for key, tensor in flatten(child, f'{name}.{index}').items()
    }
