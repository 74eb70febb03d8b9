"""Search and retraining by two processes without GPUs, and by as many as there are GPUs."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmbmtas.structures import BranchedArchitecture

ROOT = Path(__file__).parents[2]
HOOKS = '''
import hashlib
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, TRANSFORMS
from mmcv.transforms import BaseTransform


@HOOKS.register_module()
class HashHook(Hook):
    """Writes a hash of each rank's parameters."""

    def __init__(self, path):
        self.path = path

    def after_train(self, runner):
        digest = hashlib.sha256()
        for parameter in runner.model.parameters():
            digest.update(parameter.detach().cpu().numpy().tobytes())
        with open(f'{self.path}.{get_rank()}', 'w') as file:
            file.write(digest.hexdigest())


@TRANSFORMS.register_module()
class ForgetPeople(BaseTransform):
    """Drops the parts of every image on one rank, so that it has no label another has."""

    def transform(self, results):
        if get_rank() == 1 and 'gt_human_parts' in results:
            results['gt_human_parts'][:] = 255
        return results
'''

CONFIG = """
_base_ = '{base}'
custom_imports = dict(imports=['mmbmtas', 'two_rank_parts'])
custom_hooks = [*_base_.get('custom_hooks', []), dict(type='HashHook', path='{path}')]
pipeline = _base_.train_dataloader.dataset.pipeline
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=[*pipeline[:-1], dict(type='ForgetPeople'), pipeline[-1]]),
)
"""


@pytest.fixture
def dist_train(tmp_path, scenes_roots):
    (tmp_path / 'two_rank_parts.py').write_text(HOOKS)

    def run(name, *options, gpus=0):
        ranks = gpus or 2
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        (tmp_path / f'{name}.py').write_text(
            CONFIG.format(base=ROOT / 'configs' / f'{name}.py', path=tmp_path / name)
        )
        command = ['bash', ROOT / 'tools' / 'dist_train.sh', f'{name}.py', str(ranks)]
        command += ['--work-dir', name]
        command += ['--cfg-options', f'data_root={scenes_roots["pascal"]}', 'total_batch_size=4']
        environment = {
            **os.environ,
            'OMP_NUM_THREADS': '1',
            'PORT': str(port),
            'PYTHON': sys.executable,
            'PYTHONPATH': str(tmp_path),
            **({} if gpus else {'CUDA_VISIBLE_DEVICES': ''}),
        }
        done = subprocess.run(
            [*command, *options],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=590,
        )
        assert done.returncode == 0, done.stderr[-5000:]
        hashes = [(tmp_path / f'{name}.{rank}').read_text() for rank in range(ranks)]
        assert len({*hashes}) == 1

    return run


@pytest.mark.slow
@pytest.mark.parametrize('on_gpus', [False, pytest.param(True, marks=pytest.mark.gpu)])
def test_search_and_retraining(dist_train, tmp_path, on_gpus):
    """All ranks end with the same parameters, although one never sees a person.

    On GPUs these are ranks of NCCL with synchronised normalisation; a single one is wrapped alike.
    """
    gpus = min(torch.cuda.device_count(), 2) if on_gpus else 0
    if on_gpus and not gpus:
        pytest.skip('needs a GPU')
    dist_train('search_scenes', 'weight_iters=4', 'train_cfg.warmup_iters=1', gpus=gpus)
    tree = BranchedArchitecture.load(tmp_path / 'search_scenes' / 'architecture.json')
    assert tree.num_layers == 18
    dist_train(
        'branched_scenes',
        'max_iters=3',
        'train_cfg.val_interval=100',
        f'architecture={tmp_path}/search_scenes/architecture.json',
        gpus=gpus,
    )
    assert (tmp_path / 'branched_scenes' / 'iter_3.pth').is_file()
