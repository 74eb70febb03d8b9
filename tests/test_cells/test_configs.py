"""The configs of cells: built and stepped on tiny data in the formats of mmseg's data sets."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, init_default_scope
from PIL import Image

from mmbmtas.cells.search import CellSearch, Resources, read_search_config
from mmbmtas.launch import prepare_config, read_config

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path.name for path in (ROOT / 'configs/dpc').glob('*.py'))
PLAIN = [name for name in CONFIGS if not name.startswith('search')]


def _save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture(scope='module')
def roots(scenes_roots, tmp_path_factory):
    """Folders by data set: four training images, two of validation, 64 x 80 pixels."""
    root, rng = tmp_path_factory.mktemp('data'), np.random.default_rng(0)
    for split, count in (('train', 4), ('val', 2)):
        for index in range(count):
            image = rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
            labels = rng.integers(0, 19, (8, 10), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            name = f'aachen_{index:06}_000019'
            city = root / 'cityscapes'
            _save(city / f'leftImg8bit/{split}/aachen/{name}_leftImg8bit.png', image)
            _save(city / f'gtFine/{split}/aachen/{name}_gtFine_labelTrainIds.png', labels)
            voc, name = root / 'voc', f'{split}{index}'
            _save(voc / f'JPEGImages/{name}.jpg', image)
            for folder in ('SegmentationClass', 'SegmentationClassAug'):
                _save(voc / f'{folder}/{name}.png', labels)
            ids = voc / f'ImageSets/Segmentation/{"trainaug" if split == "train" else "val"}.txt'
            ids.parent.mkdir(parents=True, exist_ok=True)
            with ids.open('a') as file:
                file.write(f'{name}\n')
    return {
        'CityscapesDataset': root / 'cityscapes',
        'PascalVOCDataset': root / 'voc',
        'mmbmtas.PascalContextMT': scenes_roots['pascal'],
        'PascalContextMT': scenes_roots['pascal'],
    }


@pytest.mark.parametrize('name', PLAIN)
def test_a_step_of_training_and_a_prediction(name, roots):
    cfg = read_config(str(ROOT / 'configs/dpc' / name))
    cfg.launcher = 'none'
    prepare_config(cfg)
    init_default_scope(cfg.default_scope)
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[0].end
    assert cfg.train_dataloader.batch_size == 16
    samples = []
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = str(roots[loader.dataset.type])
        for step in loader.dataset.pipeline:
            for entry in ('size', 'crop_size'):
                if entry in step:
                    step[entry] = (64, 64)
            if 'scale' in step:
                step.scale = (80, 64)
        dataset = DATASETS.build(loader.dataset)
        assert len(dataset.metainfo['classes']) == cfg.model.decode_head.num_classes
        samples.append([dataset[0], dataset[1]])
    cfg.model.data_preprocessor.size = (64, 64)
    model = MODELS.build(cfg.model).train()
    data = model.data_preprocessor(pseudo_collate(samples[0]), True)
    losses = model.loss(data['inputs'], data['data_samples'])
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    assert all(p.grad is not None for p in model.backbone.layers[-1].parameters())
    found = model.eval().test_step(pseudo_collate(samples[1]))
    assert found[0].pred_sem_seg.data.shape == found[0].gt_sem_seg.data.shape


SLOW = ('search_cell_pascal.py', 'search_cell_voc.py')


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
        for name in CONFIGS
        if name not in PLAIN
    ],
)
def test_two_trials(name, roots, tmp_path):
    cfg = read_search_config(str(ROOT / 'configs/dpc' / name))
    cfg.train_dataloader.dataset.data_root = str(roots[cfg.train_dataloader.dataset.type])
    cfg.cell_search.update(iterations=2, batch_size=2, crop=(64, 64), max_images=4, rungs=(1,))
    if cfg.default_scope != 'mmseg':
        cfg.cell_search.metric = 'edge/pixel_AP'
    for step in cfg.cell_search.pipeline:
        if 'size' in step:
            step.size = (64, 80)
    work = CellSearch(cfg, tmp_path, 3, 0, Resources(), ROOT / 'tools')
    search = work.prepare()
    search.work()
    records = search.desk.records(0)
    assert [record.status for record in records] == ['done'] * 3
    assert [record.name for record in records][:2] == ['ASPP', 'published cell']
    tree = work._full_config(search, search.contexts['ASPP']).model.backbone.architecture
    assert tree['encoder']['context']['separable']


@pytest.mark.parametrize('name', CONFIGS)
def test_header(name):
    """Its commands name the config itself, and files there are."""
    text = (ROOT / 'configs/dpc' / name).read_text()
    lines = re.match(r'(#.*\n)+', text)[0].splitlines()
    commands = ' '.join(line.removeprefix('#').strip() for line in lines).replace('\\ ', '')
    tool = 'tools/search_cell.py' if name.startswith('search') else 'tools/train.py'
    assert f'python {tool} configs/dpc/{name}' in commands
    for path in re.findall(r'(?:tools|configs)/\S+\.py', commands):
        assert (ROOT / path).is_file(), path
