"""`tools/test.py --tta` on a shipped config, from a checkpoint to the metrics."""

import json
import runpy
import sys
from pathlib import Path

import torch
from mmengine.registry import init_default_scope

from mmbmtas import launch
from mmbmtas.models.segmentors import MultiTaskTTAModel
from mmbmtas.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIG = 'configs/branched_scenes.py'


def test_every_metric_is_of_six_averaged_views(scenes_roots, tmp_path, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '0')
    cfg = launch.read_config(str(ROOT / CONFIG))
    cfg.launcher = 'none'
    init_default_scope('mmbmtas')
    model = MODELS.build(launch.prepare_config(cfg).model)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'weights.pth')
    averaged = []
    decide = MultiTaskTTAModel._decide

    def recorded(self, sample, sums, views):
        averaged.append(views)
        return decide(self, sample, sums, views)

    monkeypatch.setattr(MultiTaskTTAModel, '_decide', recorded)
    options = [f'data_root={scenes_roots["pascal"]}', 'test_dataloader.num_workers=0']
    options += ['test_dataloader.persistent_workers=False', 'test_dataloader.dataset.indices=1']
    options += ['visualizer.name=of_test_tta']  # mmengine would give another test's of this name
    words = [ROOT / CONFIG, tmp_path / 'weights.pth', '--tta', '--work-dir', tmp_path / 'run']
    words += ['--out', tmp_path / 'metrics.json', '--show-dir', tmp_path / 'shown']
    words += ['--cfg-options', *options]
    monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, words)])
    runpy.run_path(str(ROOT / 'tools' / 'test.py'), run_name='__main__')
    assert averaged == [6]
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    headlines = ('semseg/mIoU', 'saliency/maxIoU', 'normals/mean', 'edge/pixel_AP')
    assert all(metrics[name] is not None for name in headlines)
    assert [sheet.name for sheet in (tmp_path / 'shown').iterdir()] == ['test_00000_val_000000.png']
