"""Contact sheets, the visualizer, its hook and the command line that draws datasets."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.structures import PixelData
from mmengine.visualization import Visualizer

from mmbmtas.engine.hooks.visualization_hook import MultiTaskVisualizationHook
from mmbmtas.registry import HOOKS, VISUALIZERS
from mmbmtas.structures.data_sample import MultiTaskDataSample
from mmbmtas.visualization import (
    Column,
    Legend,
    draw_contact_sheet,
    sample_columns,
    sample_image,
)

ROOT = Path(__file__).parents[2]


def make_sample(shape=(24, 32)):
    sample = MultiTaskDataSample(metainfo={'img_path': 'a/b/photo.jpg', 'padding': (1, 2, 3, 4)})
    torch.manual_seed(0)
    sample.gt_semseg = PixelData(data=torch.randint(0, 3, (1, *shape)))
    sample.pred_semseg = PixelData(data=torch.randint(0, 3, (1, *shape)))
    sample.pred_normals = PixelData(data=torch.randn(3, *shape))
    sample.gt_depth = PixelData(data=torch.rand(1, *shape) + 1)
    sample.pred_depth = PixelData(data=torch.rand(1, *shape).bfloat16() + 5)
    sample.gt_albedo = PixelData(data=torch.rand(2, *shape))
    return sample


def test_sheet_holds_all_pictures():
    image = np.full((100, 200, 3), 10, np.uint8)
    columns = [
        Column(
            'semseg', np.full((100, 200, 3), 20, np.uint8), np.full((100, 200, 3), 30, np.uint8)
        ),
        Column('depth', None, np.full((100, 200, 3), 40, np.uint8), Legend(scale=(0, 1, 'm'))),
    ]
    sheet = draw_contact_sheet(image, columns, 'title', cell_height=100)
    assert sheet.dtype == np.uint8
    for grey in (10, 20, 30, 40):
        assert (sheet == grey).all(-1).sum() >= 100 * 200
    assert draw_contact_sheet(image, columns[:0]).shape[0] < 400
    # Without predictions there is no row for them.
    alone = draw_contact_sheet(image, [Column('semseg', columns[0].truth)], cell_height=100)
    assert alone.shape[0] < sheet.shape[0] - 100


def test_rows_are_those_that_are_there():
    image = np.full((100, 200, 3), 10, np.uint8)
    picture = np.full((100, 200, 3), 30, np.uint8)
    alone = draw_contact_sheet(image, [Column('semseg', None, picture)], cell_height=100)
    both = draw_contact_sheet(image, [Column('semseg', image, picture)], cell_height=100)
    assert (alone == 30).all(-1).sum() >= 100 * 200
    assert alone.shape[0] < both.shape[0] - 100


@pytest.mark.parametrize('shape', [(1, 1), (1000, 10), (10, 1000), (3, 7)])
def test_pictures_of_any_shape_are_not_stretched(shape):
    image = np.full((*shape, 3), 10, np.uint8)
    sheet = draw_contact_sheet(image, [Column('semseg', image + 10)], cell_height=100)
    rows, columns = np.nonzero((sheet == 20).all(-1))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert abs(height - width * shape[0] / shape[1]) <= max(1, shape[0] / shape[1])
    assert sheet.shape[1] <= 2000


def test_long_legends_are_cut():
    entries = tuple(((i, i, i), f'a class with a long name {i}') for i in range(60))
    image = np.zeros((50, 50, 3), np.uint8)
    sheet = draw_contact_sheet(image, [Column('semseg', image, legend=Legend(entries))])
    assert sheet.shape[0] < 500


def test_columns_of_a_sample():
    meta = {'classes': {'semseg': ['floor', 'wall', 'sky']}, 'palette': {'semseg': [(1, 1, 1)] * 3}}
    columns = sample_columns(make_sample(), meta)
    assert [c.name for c in columns] == ['semseg', 'normals', 'depth', 'albedo']
    assert {name for _, name in columns[0].legend.entries} == {'floor', 'wall', 'sky'}
    assert (columns[0].truth == 1).all()
    assert columns[1].truth is None
    low, high, unit = columns[2].legend.scale
    assert 1 <= low < high <= 2
    assert unit == 'm'
    # Predictions share the truth's scale: all of them lie beyond its end.
    assert (columns[2].prediction == columns[2].prediction[0, 0]).all()
    assert columns[3].prediction is None
    # mmseg's metainfo, a list for its one task, says nothing about ours.
    legend = sample_columns(make_sample(), {'classes': ['floor']})[0].legend
    assert {name for _, name in legend.entries} == {'class 0', 'class 1', 'class 2'}


def test_image_without_padding_in_rgb():
    inputs = torch.zeros(3, 10, 12, dtype=torch.uint8)
    inputs[0, 2:6, 1:9] = 200  # blue
    image = sample_image(inputs, make_sample())
    assert image.shape == (4, 8, 3)
    assert (image == [0, 0, 200]).all()


def test_visualizer_writes_to_backends_and_files(tmp_path):
    visualizer = VISUALIZERS.build(
        {
            'type': 'MultiTaskVisualizer',
            'name': 'test_files',
            'vis_backends': [{'type': 'LocalVisBackend'}],
            'save_dir': str(tmp_path),
        }
    )
    image = np.zeros((24, 32, 3), np.uint8)
    file = tmp_path / 'new/sheet.png'
    visualizer.add_datasample('val_photo', image, make_sample(), step=7)
    written = cv2.imread(str(tmp_path / 'vis_data/vis_image/val_photo_7.png'))
    visualizer.add_datasample('val_photo', image, make_sample(), out_file=str(file), step=9)
    assert np.array_equal(cv2.imread(str(file)), written)
    assert not (tmp_path / 'vis_data/vis_image/val_photo_9.png').exists()
    less = tmp_path / 'less.png'
    visualizer.add_datasample(
        'val_photo', image, make_sample(), draw_pred=False, out_file=str(less), step=8
    )
    assert cv2.imread(str(less)).shape[0] < written.shape[0]


@pytest.fixture
def current_visualizer(monkeypatch):
    names = []
    visualizer = SimpleNamespace(
        add_datasample=lambda *args, **kwargs: names.append((args, kwargs))
    )
    monkeypatch.setattr(Visualizer, 'get_current_instance', classmethod(lambda cls: visualizer))
    return names


def _runner(trained):
    """A runner with nothing but what its message hub tells, which tests have no loop for."""
    hub = MessageHub(f'drawing after {trained}')
    if trained:
        hub.update_info('iter', trained - 1)
    return SimpleNamespace(message_hub=hub)


@pytest.mark.parametrize(('batch_size', 'interval', 'drawn'), [(1, 2, 5), (4, 3, 4), (3, 50, 1)])
def test_hook_draws_every_nth_sample(current_visualizer, batch_size, interval, drawn):
    hook = HOOKS.build({'type': 'MultiTaskVisualizationHook', 'draw': True, 'interval': interval})
    runner = _runner(trained=12)
    inputs = [torch.zeros(3, 30, 36, dtype=torch.uint8)] * 10
    for _ in range(2):  # counting starts anew in each validation
        current_visualizer.clear()
        hook.before_val_epoch(runner)
        for index, start in enumerate(range(0, 10, batch_size)):
            batch = {'inputs': inputs[start : start + batch_size]}
            samples = [make_sample() for _ in batch['inputs']]
            hook.after_val_iter(runner, index, batch, samples)
        assert len(current_visualizer) == drawn
    (name, image, _), options = current_visualizer[0]
    assert name == 'val_00000_photo'
    assert image.shape == (24, 32, 3)
    assert options['step'] == 12


def test_hook_is_off_by_default_and_in_training(current_visualizer, tmp_path):
    runner = _runner(trained=0)
    batch = {'inputs': torch.zeros(1, 3, 30, 36, dtype=torch.uint8)}
    MultiTaskVisualizationHook().after_test_iter(runner, 0, batch, [make_sample()])
    hook = MultiTaskVisualizationHook(draw=True, show_dir=str(tmp_path))
    hook.after_train_iter(runner, 0, batch, {})
    assert not current_visualizer
    hook.after_test_iter(runner, 0, batch, [make_sample()])
    assert current_visualizer[0][1]['out_file'] == str(tmp_path / 'test_00000_photo.png')
    with pytest.raises(ValueError, match='interval must be at least 1, got 0'):
        MultiTaskVisualizationHook(interval=0)


def test_browse_dataset(real_nyud_root, tmp_path):
    command = [
        sys.executable,
        str(ROOT / 'tools/misc/browse_dataset.py'),
        str(ROOT / 'configs/_base_/datasets/nyud_search.py'),
        '--not-show',
        f'--output-dir={tmp_path}',
        '--number=2',
        '--cfg-options',
        f'train_dataloader.dataset.data_root={real_nyud_root}',
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    sheets = sorted(tmp_path.glob('*.png'))
    assert [s.name.split('_')[1] for s in sheets] == ['00000', '00001']
    assert cv2.imread(str(sheets[0])).std() > 20
