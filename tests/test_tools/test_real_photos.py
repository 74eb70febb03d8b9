"""The whole chain on real photographs with measured depth: search, export, retrain, test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmbmtas.structures import BranchedArchitecture

ROOT = Path(__file__).parents[2]


def run(*arguments):
    command = [sys.executable, *map(str, arguments)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=1500, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_search_nyud_runs_on_real_photographs(real_nyud_root, tmp_path):
    # Batches smaller than the paper's 16, for two cores; else only root, length and split differ.
    common = [f'data_root={real_nyud_root}', 'total_batch_size=2', 'val_dataloader.num_workers=0']
    common += ['val_dataloader.persistent_workers=False']
    searched, retrained = tmp_path / 'search', tmp_path / 'retrain'
    # Of four photographs each split needs a batch of two.
    length = ['weight_iters=2', 'train_cfg.warmup_iters=1', 'train_cfg.arch_fraction=0.5']
    run('tools/train.py', 'configs/search_nyud.py', '--work-dir', searched,
        '--cfg-options', *common, *length)  # fmt: skip
    tree = tmp_path / 'tree.json'
    run('tools/export_architecture.py', searched / 'iter_3.pth', '-o', tree)
    assert BranchedArchitecture.load(tree) == BranchedArchitecture.load(
        searched / 'architecture.json'
    )
    common.append(f'architecture={tree}')
    run('tools/train.py', 'configs/branched_nyud.py', '--work-dir', retrained,
        '--cfg-options', *common, 'max_iters=2')  # fmt: skip
    results = tmp_path / 'results.json'
    run('tools/test.py', 'configs/branched_nyud.py', retrained / 'iter_2.pth',
        '--work-dir', tmp_path / 'test', '--out', results, '--cfg-options', *common)  # fmt: skip
    scores = json.loads(results.read_text())
    for name in ('semseg/mIoU', 'depth/rmse', 'normals/mean', 'edge/pixel_AP'):
        assert scores[name] >= 0
