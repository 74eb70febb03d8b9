"""Every picture appears whole or not at all, also where the disk is full."""

import errno
import os
from pathlib import Path

import mmcv
import numpy as np
import pytest
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.visualization import Visualizer
from PIL import Image

from mmbmtas.structures import BranchedArchitecture
from mmbmtas.visualization import MultiTaskVisualizer
from mmbmtas.visualization.affinity import plot_affinities, plot_affinities_and_tree
from mmbmtas.visualization.architecture import plot_architecture
from mmbmtas.visualization.comparison import Point, plot_pareto, plot_trees
from mmbmtas.visualization.overview import stack_pictures

PICTURE = np.zeros((8, 8, 3), np.uint8)
TREE = BranchedArchitecture.shared(['semseg', 'edge'], {'type': 'MobileNetV2Encoder'}, 2)
ALIKE = np.ones((2, 2, 2))


@pytest.fixture
def sheet(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / 'sheet.png')
    return tmp_path / 'sheet.png'


WRITERS = {
    'tree': lambda place, _: plot_architecture(TREE, place),
    'affinities': lambda place, _: plot_affinities(ALIKE, TREE.tasks, place),
    'affinities and tree': lambda place, _: plot_affinities_and_tree(ALIKE, TREE, place),
    'pareto': lambda place, _: plot_pareto([Point('a', 1.0, 2.0)], place),
    'trees': lambda place, _: plot_trees({'a': TREE}, place),
    'overview': lambda place, sheet: stack_pictures([sheet], place),
    'sheet': lambda place, _: MultiTaskVisualizer('a').add_datasample(
        'a', PICTURE, out_file=str(place)
    ),
}


@pytest.fixture
def full_disk(monkeypatch):
    """Every library writes a few bytes and fails."""

    def half(place, *_, **__):
        Path(place).write_bytes(b'half')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Figure, 'savefig', lambda figure, place, **_: half(place))
    monkeypatch.setattr(Image.Image, 'save', lambda image, place, **_: half(place))
    monkeypatch.setattr(mmcv, 'imwrite', lambda image, place: half(place))
    monkeypatch.setattr(Config, 'dump', lambda config, place: half(place))


@pytest.mark.parametrize('write', WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize('old', [True, False])
def test_a_full_disk(tmp_path, sheet, full_disk, write, old):
    place = tmp_path / 'a.png'
    if old:
        place.write_bytes(b'old')
    before = {path: path.read_bytes() for path in tmp_path.rglob('*')}
    with pytest.raises(OSError, match='No space left') as caught:
        write(place, sheet)
    assert caught.value.filename == str(place)
    assert {path: path.read_bytes() for path in tmp_path.rglob('*')} == before


class TestBackend:
    @pytest.fixture
    def visualizer(self, tmp_path):
        from mmengine.registry import init_default_scope

        init_default_scope('mmbmtas')
        backends = [{'type': 'LocalVisBackend'}]
        return Visualizer('whole files', vis_backends=backends, save_dir=str(tmp_path))

    def test_pictures_and_config(self, visualizer, tmp_path):
        visualizer.add_image('a', np.full((4, 6, 3), [255, 0, 9], np.uint8), 3)
        visualizer.add_config(Config({'a': 1}))
        with Image.open(tmp_path / 'vis_data/vis_image/a_3.png') as picture:
            assert picture.getpixel((0, 0)) == (255, 0, 9)
        assert Config.fromfile(tmp_path / 'vis_data/config.py').a == 1

    def test_on_a_full_disk(self, visualizer, tmp_path, full_disk):
        for act in (
            lambda: visualizer.add_image('a', PICTURE, 3),
            lambda: visualizer.add_config(Config({})),
        ):
            with pytest.raises(OSError, match='No space left'):
                act()
        assert [path for path in tmp_path.rglob('*') if path.is_file()] == []
