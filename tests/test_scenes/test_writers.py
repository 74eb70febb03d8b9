"""Files of both layouts hold what was rendered, to the byte formats of the releases."""

import json

import numpy as np
import pytest
import scipy.io
from PIL import Image

from mmbmtas.datasets import NYUDv2MT, PascalContextMT
from mmbmtas.datasets.pascal_labels import NORMALS_VALID, PARTS, read_human_parts
from mmbmtas.scenes import render_image, write_scenes
from mmbmtas.scenes.classes import CATEGORIES, lookup
from mmbmtas.scenes.classes import PARTS as DRAWN_PARTS
from mmbmtas.structures.boundaries import label_boundaries
from mmbmtas.structures.palettes import class_palette

SIZE = (48, 64)


def test_context_ids_have_normals_but_for_plants():
    without = {c.name for c in CATEGORIES if not NORMALS_VALID[c.context]}
    assert without == {'plant'}


def test_part_names_are_those_of_the_release():
    assert set(DRAWN_PARTS[1:]) <= set(PARTS)


def test_boundary_compares_east_south_and_south_east():
    labels = np.array([[1, 1, 1], [1, 1, 2], [1, 1, 2]])
    expected = [[False, True, True], [False, True, False], [False, True, False]]
    assert label_boundaries(labels).tolist() == expected


@pytest.fixture(scope='module')
def pascal(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes') / 'pascal'
    assert write_scenes(root, 'pascal', 4, 2, SIZE, seed=5)
    return root


@pytest.fixture(scope='module')
def nyud(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes') / 'nyud'
    assert write_scenes(root, 'nyud', 3, 2, SIZE, seed=5)
    return root


class TestPascalFiles:
    def test_lists(self, pascal):
        ids = [f'train_{i:06d}' for i in range(4)]
        assert (pascal / 'ImageSets/Context/train.txt').read_text().split() == ids
        objects = json.loads((pascal / 'ImageSets/Parts/train.txt').read_text())
        assert list(objects) == ids
        assert {c for classes in objects.values() for c in classes} <= set(range(1, 21))

    def test_image_is_a_full_colour_jpeg(self, pascal):
        with Image.open(pascal / 'JPEGImages/train_000000.jpg') as image:
            assert (image.format, image.mode, image.size) == ('JPEG', 'RGB', (64, 48))
            # 4:4:4: every component is sampled at every pixel.
            assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3

    def test_semseg(self, pascal):
        voc = {p.stem for p in (pascal / 'semseg/VOC12').iterdir()}
        context = {p.stem for p in (pascal / 'semseg/pascal-context').iterdir()}
        assert voc - context
        assert context - voc
        assert voc & context
        truth = render_image(5, 'train', 2, SIZE)
        classes = lookup('voc')[truth.category]
        with Image.open(pascal / 'semseg/pascal-context/train_000002.png') as image:
            assert image.mode == 'P'
            assert image.getpalette()[:48] == np.ravel(class_palette(16)).tolist()
            assert (np.array(image) == classes).all()
        with Image.open(pascal / 'semseg/VOC12/train_000002.png') as image:
            bordered = np.array(image)
        assert ((bordered == classes) | (bordered == 255)).all()

    def test_label_map(self, pascal):
        label_map = scipy.io.loadmat(pascal / 'pascal-context/trainval/val_000001.mat')['LabelMap']
        truth = render_image(5, 'val', 1, SIZE)
        assert label_map.dtype == np.uint16
        assert (label_map == lookup('context')[truth.category]).all()

    def test_parts_structure(self, pascal):
        truth = [render_image(5, 'train', i, SIZE) for i in range(4)]
        seen = set()
        for number, rendering in enumerate(truth):
            path = pascal / f'human_parts/train_{number:06d}.mat'
            anno = scipy.io.loadmat(path)['anno']
            assert anno.shape == (1, 1)
            assert anno.dtype.names == ('imname', 'objects')
            objects = anno['objects'][0, 0]
            assert objects.shape[0] == 1
            assert objects.dtype.names == ('class', 'class_ind', 'mask', 'parts')
            for entry in objects[0]:
                assert entry['class_ind'].shape == (1, 1)
                assert entry['mask'].dtype == np.uint8
                assert entry['mask'].shape == SIZE
                person = entry['class_ind'].item() == 15
                assert person == (entry['class'].item() == 'person')
                assert person or entry['parts'].shape == (0, 0)
                if person:
                    seen |= {p['part_name'].item() for p in entry['parts'].ravel()}
                    assert all((p['mask'] <= entry['mask']).all() for p in entry['parts'].ravel())
            expected = np.array([PARTS.get(name, 0) for name in DRAWN_PARTS])[rendering.part]
            assert (read_human_parts(str(path), SIZE) == expected).all()
        assert {'torso', 'head', 'luleg'} <= seen

    def test_normals_and_saliency(self, pascal):
        truth = render_image(5, 'train', 1, SIZE)
        stored = np.array(Image.open(pascal / 'normals_distill/train_000001.png')) / 127.5 - 1
        assert np.abs(stored - truth.normals).max() < 1 / 255 + 1e-6
        saliency = Image.open(pascal / 'sal_distill/train_000001.png')
        assert saliency.mode == 'L'
        assert ((np.array(saliency) / 255 > 0.5) == truth.salient).all()

    def test_loads(self, pascal):
        pipeline = [
            dict(type=f'mmbmtas.{t}') for t in ('LoadSampleImage', 'LoadPascalContextLabels')
        ]
        dataset = PascalContextMT(
            data_root=str(pascal),
            split='train',
            tasks=['semseg', 'human_parts', 'saliency', 'normals'],
            pipeline=pipeline,
        )
        assert len(dataset) == 4
        assert dataset[0]['gt_normals'].shape == (*SIZE, 3)


class TestNyudFiles:
    def test_labels(self, nyud):
        assert (nyud / 'gt_sets/val.txt').read_text() == 'val_000000\nval_000001\n'
        truth = render_image(5, 'val', 1, SIZE)

        def array(folder):
            return np.load(nyud / folder / 'val_000001.npy')

        assert (array('depth') == truth.depth).all()
        assert (array('normals') == truth.normals).all()
        assert set(np.unique(array('edge'))) == {0, 1}
        with Image.open(nyud / 'segmentation/val_000001.png') as image:
            assert image.mode == 'P'
            stored = np.array(image)
        assert (stored == lookup('nyu')[truth.category]).all()
        assert stored.min() >= 1
        assert stored.max() <= 40

    def test_loads(self, nyud):
        pipeline = [dict(type=f'mmbmtas.{t}') for t in ('LoadSampleImage', 'LoadNYUDv2Labels')]
        tasks = ['semseg', 'depth', 'normals', 'edge']
        dataset = NYUDv2MT(data_root=str(nyud), split='val', tasks=tasks, pipeline=pipeline)
        assert dataset[0]['gt_depth'].shape == SIZE
