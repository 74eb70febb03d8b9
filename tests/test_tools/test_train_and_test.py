"""The command lines of training and testing, on toys."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
TOY = Path(__file__).parent / 'toy'
CONFIG = TOY / 'toy_config.py'


@pytest.fixture(autouse=True)
def _toys_are_found(monkeypatch):
    monkeypatch.syspath_prepend(TOY)


def _weights(path):
    return torch.load(path, weights_only=False)['state_dict']


def test_train_resume_and_test(tool, capsys):
    tool('train.py', CONFIG, '--work-dir', 'run')
    assert Path('run/iter_4.pth').is_file()
    assert f'toy architecture: {TOY / "toy_architecture.json"}' in capsys.readouterr().out

    tool(
        'train.py',
        CONFIG,
        '--work-dir',
        'run',
        '--resume',
        '--cfg-options',
        'train_cfg.max_iters=6',
    )
    assert not torch.equal(
        _weights('run/iter_6.pth')['backbone.linear.weight'],
        _weights('run/iter_4.pth')['backbone.linear.weight'],
    )

    tool('test.py', CONFIG, 'run/iter_6.pth', '--work-dir', 'test', '--out', 'metrics.json')
    assert json.loads(Path('metrics.json').read_text()) == {'toy/count': 8, 'toy/lost': None}


def test_resumed_training_ends_where_uninterrupted_training_does(tool):
    options = ('--cfg-options', 'train_dataloader.sampler.shuffle=False')
    tool('train.py', CONFIG, '--work-dir', 'whole', *options)
    tool('train.py', CONFIG, '--work-dir', 'half', *options, 'train_cfg.max_iters=2')
    tool('train.py', CONFIG, '--work-dir', 'rest', '--resume', 'half/iter_2.pth', *options)
    whole, rest = _weights('whole/iter_4.pth'), _weights('rest/iter_4.pth')
    assert whole.keys() == rest.keys()
    assert all(torch.equal(whole[key], rest[key]) for key in whole)


def test_amp_trains_without_a_gpu(tool):
    tool('train.py', CONFIG, '--work-dir', 'run', '--amp')
    assert Path('run/iter_4.pth').is_file()


@pytest.mark.parametrize(
    ('name', 'words', 'message'),
    [
        ('train.py', ['lost.py'], 'error: lost.py is not a config file: there is no such file'),
        (
            'test.py',
            [CONFIG, 'lost.pth'],
            'error: lost.pth is not a checkpoint file: there is no such file',
        ),
        (
            'train.py',
            [CONFIG, '--cfg-options', 'train_dataloader.dataset.data_root=lost'],
            'error: lost is no folder: unpack the toys there',
        ),
        (
            'train.py',
            [CONFIG, '--cfg-options', 'architecture=lost.json'],
            'error: architecture file lost.json not found here',
        ),
    ],
)
def test_users_errors_take_one_line(tool, capsys, name, words, message):
    with pytest.raises(SystemExit) as caught:
        tool(name, *words)
    assert caught.value.code == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error')]
    assert len(errors) == 1
    assert errors[0].startswith(message)


def test_a_checkpoint_of_another_model_is_refused(tool, capsys):
    tool('train.py', CONFIG, '--work-dir', 'run')
    with pytest.raises(SystemExit):
        tool('test.py', CONFIG, 'run/iter_4.pth', '--cfg-options', 'model.backbone.width=2')
    assert 'error: run/iter_4.pth does not fit the model' in capsys.readouterr().err


def test_a_dead_worker_is_told_in_one_line(tool, capsys):
    tool('train.py', CONFIG, '--work-dir', 'run')
    options = ('test_dataloader.num_workers=1', 'test_dataloader.dataset.deadly=True')
    with pytest.raises(SystemExit):
        tool('test.py', CONFIG, 'run/iter_4.pth', '--cfg-options', *options)
    (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith('error: '))
    assert line.startswith('error: DataLoader worker (pid')
    assert 'fewer test_dataloader.num_workers' in line
    assert '--resume' not in line


def test_print_config_shows_overrides_and_saves(tool, capsys):
    words = ('--cfg-options', 'model.scale=2.5', '--save-path', 'whole.py')
    tool('misc/print_config.py', CONFIG, *words)
    assert 'scale=2.5' in capsys.readouterr().out
    assert 'scale=2.5' in Path('whole.py').read_text()


@pytest.fixture
def environment(monkeypatch):
    """Variables of a distributed run on CPUs, with a free port."""
    monkeypatch.syspath_prepend(TOY)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    return {
        **os.environ,
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
        'PORT': str(port),
        'PYTHON': sys.executable,
        'PYTHONPATH': str(TOY),
    }


@pytest.mark.slow
def test_two_ranks_without_gpus(tmp_path, environment):
    def run(script, *words):
        command = ['bash', ROOT / 'tools' / script, *map(str, words)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    trained = run('dist_train.sh', CONFIG, 2, '--work-dir', 'run')
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / 'run' / 'iter_4.pth').is_file()
    shared = Config.fromfile(tmp_path / 'run' / CONFIG.name)
    assert (shared.total_batch_size, shared.train_dataloader.batch_size) == (4, 2)

    tested = run('dist_test.sh', CONFIG, 'run/iter_4.pth', 2, '--out', 'metrics.json')
    assert tested.returncode == 0, tested.stderr
    assert json.loads((tmp_path / 'metrics.json').read_text())['toy/count'] == 8

    odd = run('dist_train.sh', CONFIG, 2, '--cfg-options', 'total_batch_size=3')
    assert odd.returncode != 0
    assert 'error: total_batch_size = 3 cannot be shared equally by 2 ranks' in odd.stderr


@pytest.mark.slow
def test_two_nodes(tmp_path, environment):
    """The same command on both, but for NODE_RANK; here both are this machine."""
    command = ['bash', ROOT / 'tools' / 'dist_train.sh', CONFIG, '1', '--work-dir', 'run']
    nodes = []
    for rank in range(2):
        log = (tmp_path / f'{rank}.log').open('w')
        node = {'NNODES': '2', 'NODE_RANK': str(rank), 'MASTER_ADDR': '127.0.0.1'}
        nodes.append(
            subprocess.Popen(
                command, cwd=tmp_path, env={**environment, **node}, stdout=log, stderr=log
            )
        )
    codes = [node.wait(timeout=300) for node in nodes]
    assert codes == [0, 0], (tmp_path / '0.log').read_text()[-3000:]
    assert (tmp_path / 'run' / 'iter_4.pth').is_file()
    assert Config.fromfile(tmp_path / 'run' / CONFIG.name).train_dataloader.batch_size == 2


SRUN = """#!{python}
import os, subprocess, sys
(tasks,) = [int(word[9:]) for word in sys.argv if word.startswith('--ntasks=')]
command = sys.argv[sys.argv.index({python!r}) :]
variables = [
    dict(SLURM_PROCID=str(i), SLURM_LOCALID=str(i), SLURM_NTASKS=str(tasks), SLURM_NODELIST='here')
    for i in range(tasks)
]
ranks = [subprocess.Popen(command, env=dict(os.environ, **each)) for each in variables]
sys.exit(max(rank.wait() for rank in ranks))
"""


@pytest.mark.slow
def test_slurm_without_gpus(tmp_path, environment):
    """With stand-ins for the two commands of Slurm."""
    (tmp_path / 'srun').write_text(SRUN.format(python=sys.executable))
    (tmp_path / 'scontrol').write_text('#!/bin/sh\necho 127.0.0.1\n')
    for name in ('srun', 'scontrol'):
        (tmp_path / name).chmod(0o755)
    environment |= {
        'PATH': f'{tmp_path}{os.pathsep}{environment["PATH"]}',
        'MASTER_PORT': environment['PORT'],
        'GPUS': '2',
    }
    command = ['bash', ROOT / 'tools' / 'slurm_train.sh', 'partition', 'job', CONFIG, 'run']
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'run' / 'iter_4.pth').is_file()
    assert Config.fromfile(tmp_path / 'run' / CONFIG.name).train_dataloader.batch_size == 2
