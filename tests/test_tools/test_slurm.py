"""The Slurm scripts, with a stand-in for srun that prints what it was given."""

import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def run(tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)

    def run(script, *words, **environment):
        path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
        return subprocess.run(
            ['bash', TOOLS / script, *words],
            env={**os.environ, 'PATH': path, 'PYTHON': 'python3', **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ('script', 'tool', 'words'),
    [
        ('slurm_train.sh', 'train.py', ['some.py', '--work-dir', 'a run']),
        ('slurm_test.sh', 'test.py', ['some.py', 'a run']),
    ],
)
def test_job_and_command_line(run, script, tool, words):
    result = run(
        script, 'partition', 'job', 'some.py', 'a run', '--x', GPUS='2', SRUN_ARGS='-q -w n'
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    command = lines.index('python3')
    assert lines[command:] == [
        'python3',
        '-u',
        str(TOOLS / tool),
        *words,
        '--launcher',
        'slurm',
        '--x',
    ]
    assert lines[command - 3 : command] == ['-q', '-w', 'n']
    assert {'--ntasks=2', '--ntasks-per-node=2', '--gres=gpu:2'} < set(lines[:command])


@pytest.mark.parametrize(
    'script', ['slurm_train.sh', 'slurm_test.sh', 'dist_train.sh', 'dist_test.sh']
)
def test_too_few_words_show_the_usage(run, script):
    result = run(script, 'one')
    assert result.returncode == 2
    assert result.stderr.startswith(f'tools/{script} ')
