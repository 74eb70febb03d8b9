"""A search on pocket domains by tools/train.py that is killed twice ends as one that is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmbmtas.pocket.writer import write_pocket_domains

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PARTS = '''
import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class KillHook(Hook):
    """Kills the process after an iteration."""

    priority = 'LOWEST'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == int(os.environ['KILL_AT']):
            os.kill(os.getpid(), signal.SIGKILL)
'''
CONFIG = """
_base_ = '{config}'
custom_imports = dict(imports=['mmbmtas', 'pocket_kill_parts'])
data_root = '{data}'
tasks = ['digits', 'faces']
total_batch_size = 8
weight_iters = 200
custom_hooks = [*_base_.custom_hooks, dict(type='KillHook')]
default_hooks = dict(checkpoint=dict(interval=20), logger=dict(interval=50))
"""


def test_a_killed_search_ends_in_the_same_paths(tmp_path):
    """200 iterations, killed after 50 and 120 and resumed: equal bit for bit (M10)."""
    write_pocket_domains(tmp_path / 'data', ['digits', 'faces'], size=16)
    (tmp_path / 'pocket_kill_parts.py').write_text(PARTS)
    config = tmp_path / 'search.py'
    base = ROOT / 'configs/mpnas/search_pocket.py'
    config.write_text(CONFIG.format(config=base, data=tmp_path / 'data'))

    def train(name, kill_at=0):
        """Run the tool; tell how it ended."""
        words = [ROOT / 'tools/train.py', config, '--work-dir', tmp_path / name, '--resume']
        path = os.pathsep.join([str(ROOT), str(tmp_path)])
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, 'KILL_AT': str(kill_at), 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr[-2000:]

    assert train('whole')[0] == 0
    for kill_at, last in ((50, 40), (120, 120)):
        assert train('killed', kill_at)[0] == -signal.SIGKILL
        found = sorted((tmp_path / 'killed').glob('iter_*.pth'), key=lambda p: p.stat().st_mtime)
        assert found[-1].name == f'iter_{last}.pth'
        assert not (tmp_path / 'killed' / 'iter_200.pth').exists()
    code, told = train('killed')
    assert code == 0, told
    whole, killed = (tmp_path / name for name in ('whole', 'killed'))
    assert (whole / 'architecture.json').read_text() == (killed / 'architecture.json').read_text()
    ours, theirs = (
        torch.load(folder / 'iter_200.pth', weights_only=False)['state_dict']
        for folder in (whole, killed)
    )
    assert any(name.startswith('backbone.policy.') for name in ours)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
