"""The base configs of the datasets: each gives batches of the size it says."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmbmtas.registry import DATASETS

FOLDER = Path(__file__).parents[2] / 'configs/_base_/datasets'
CROPS = {
    'pascal_context': (512, 512),
    'pascal_context_search': (256, 256),
    'nyud': (425, 560),
    'nyud_search': (283, 373),
    'scenes': (128, 128),
    'scenes_search': (64, 64),
}


def first_batch(cfg, root):
    cfg.dataset.data_root = str(root)
    cfg.update(num_workers=0, persistent_workers=False, batch_size=1)
    dataset = cfg.dataset.type
    cfg.dataset.type = f'mmbmtas.{dataset}'
    return next(iter(Runner.build_dataloader(cfg, seed=0)))


def test_every_config_is_tested():
    files = {file.stem for file in FOLDER.glob('*.py')}
    elsewhere = {'planted', 'cityscapes', 'voc', 'person_part'}  # test_planted.py, test_cells
    elsewhere |= {'pocket', 'decathlon', 'pascal_nyud'}  # test_configs.py: of domains
    assert files - elsewhere == set(CROPS)


@pytest.mark.parametrize('name', CROPS)
def test_batches(name, pascal_root, layouts, tmp_path):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    tasks = DATASETS.get(cfg.train_dataloader.dataset.type).TASKS
    root = layouts.write_nyud(tmp_path, 'B') if name.startswith('nyud') else pascal_root
    batch = first_batch(cfg.train_dataloader, root)
    assert batch['inputs'][0].shape[1:] == CROPS[name]
    sample = batch['data_samples'][0]
    for task in tasks:
        assert sample.get(f'gt_{task}').shape == CROPS[name]
    batch = first_batch(cfg.val_dataloader, root)
    sample = batch['data_samples'][0]
    left, top, right, bottom = sample.padding
    height, width = batch['inputs'][0].shape[1:]
    assert height % 16 == width % 16 == 0
    assert (height - top - bottom, width - left - right) == sample.ori_shape
    for task in tasks:
        assert sample.get(f'gt_{task}').shape == sample.ori_shape
    # What OdsF derives PASCAL-Context's truth from.
    assert ('gt_label_map' in sample) == (not name.startswith('nyud'))
    assert len(cfg.val_evaluator) == len(tasks)
