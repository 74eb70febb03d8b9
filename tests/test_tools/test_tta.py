"""`tools/test.py --tta` on a shipped config, from a checkpoint to the metrics."""

import json
import runpy
import sys
from pathlib import Path

import torch
from mmengine.registry import init_default_scope

from mmbmtas.engine import launch
from mmbmtas.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIG = 'configs/branched_scenes.py'


def test_every_metric_is_of_the_averaged_views(scenes_roots, tmp_path, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '0')
    cfg = launch.read_config(str(ROOT / CONFIG))
    cfg.launcher = 'none'
    init_default_scope('mmbmtas')
    model = MODELS.build(launch.prepare_config(cfg).model)
    model.init_weights()
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'weights.pth')

    def test(*words):
        options = [f'data_root={scenes_roots["pascal"]}', 'test_dataloader.num_workers=0']
        options += ['test_dataloader.persistent_workers=False']
        words = [ROOT / CONFIG, tmp_path / 'weights.pth', *words, '--work-dir', tmp_path / 'run']
        words += ['--out', tmp_path / 'metrics.json', '--cfg-options', *options]
        monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, words)])
        runpy.run_path(str(ROOT / 'tools' / 'test.py'), run_name='__main__')
        return json.loads((tmp_path / 'metrics.json').read_text())

    plain, averaged = test(), test('--tta')
    assert averaged.keys() == plain.keys()
    assert averaged['normals/mean'] != plain['normals/mean']
