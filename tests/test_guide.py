"""The examples of data, tasks and encoders of one's own do what it says."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image

from mmbmtas import launch
from mmbmtas.registry import DATASETS, METRICS, MODELS

ROOT = Path(__file__).parents[1]
TEXT = ''.join((ROOT / 'docs' / page).read_text() for page in ('guide.md', 'extending/data_set.md'))
BLOCKS = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Write the guide's example that begins with some text, and read it as a config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(beginning, name):
        (text,) = [block for block in BLOCKS if block.startswith(beginning)]
        (tmp_path / name).write_text(text.replace("'configs/", f"'{ROOT}/configs/"))
        return tmp_path / name

    yield write
    sys.modules.pop('heights', None)
    DATASETS.module_dict.pop('Heights', None)


def test_data_and_tasks_of_ones_own(prepare, tmp_path):
    prepare('# heights.py', 'heights.py')
    for folder in ('images', 'semseg', 'height'):
        (tmp_path / 'data/heights' / folder).mkdir(parents=True)
    for split in ('train', 'val'):
        (tmp_path / f'data/heights/{split}.txt').write_text('a\nb\n')
    for name in 'ab':
        pixels = np.random.randint(0, 256, (70, 90, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'data/heights/images/{name}.jpg')
        np.save(tmp_path / f'data/heights/semseg/{name}.npy', pixels[..., 0] % 3)
        np.save(tmp_path / f'data/heights/height/{name}.npy', pixels[..., 1] / 9 + 1)
    config = prepare('# search_heights.py', 'search_heights.py')
    cfg = launch.prepare_config(launch.read_config(str(config), {'launcher': 'none'}))
    init_default_scope('mmbmtas')
    model = MODELS.build(cfg.model)
    assert model.tasks == ('semseg', 'height')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    batch = pseudo_collate([dataset[index] for index in range(2)])
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert {'semseg.loss_ce', 'height.loss_l1', 'loss_resource'} <= {*losses}
    sample = DATASETS.build(cfg.val_dataloader.dataset)[0]
    model.eval()
    (predicted,) = model.test_step(pseudo_collate([sample]))
    for entry in cfg.val_evaluator:
        metric = METRICS.build(entry)
        metric.process(None, [predicted.to_dict()])
        assert metric.compute_metrics(metric.results and [metric.results[0]])


def test_a_config_of_ones_own(prepare):
    cfg = launch.read_config(str(prepare('# search_mine.py', 'search_mine.py')))
    assert cfg.test_dataloader.dataset.data_root == '/data/PASCAL_MT'
    assert cfg.model.resource_loss == {'type': 'ResourceLoss', 'weight': 0.5, 'target_madds': 5.5e9}
    init_default_scope('mmbmtas')
    assert MODELS.build(cfg.model).decode_heads['edge'].in_channels == [16, 128]


def test_another_encoder(prepare):
    config = prepare("_base_ = 'configs/search_scenes_r50.py'", 'search_r18.py')
    cfg = launch.read_config(str(config))
    init_default_scope('mmbmtas')
    model = MODELS.build(cfg.model)
    assert model.backbone.encoder.depth == 18


def test_heads_of_mmseg(prepare, toys):
    """They learn in a search, on features at strides 4 to 16, and cost what they do in a tree."""
    config = prepare('# search_mmseg_heads.py', 'search_mmseg_heads.py')
    tasks = ['semseg', 'edge']
    cfg = launch.read_config(str(config), {'tasks': tasks})
    init_default_scope('mmbmtas')
    model = MODELS.build(cfg.model)
    assert [conv.conv.in_channels for conv in model.decode_heads['semseg'].convs] == [8, 8, 24, 64]
    losses = model(*toys.batch(tasks), mode='loss')
    assert {'semseg.loss_ce', 'semseg.aux.loss_ce', 'edge.loss_bce'} <= {*losses}
    model.parse_losses(losses)[0].backward()
    assert model.backbone.arch_params.grad.abs().sum() > 0
    # Maps at a quarter of 128 x 160: a 1x1 convolution a level, the fusion and the last layer.
    height, width = (side // 4 for side in model.cost_shape)
    levels = sum(
        c * 32 * height * width // s for c, s in zip((8, 8, 24, 64), (1, 4, 16, 16), strict=True)
    )
    fused = (4 * 32 * 32 + 32 * 21) * height * width
    assert model.network_cost.decoders['semseg'].madds == levels + fused
