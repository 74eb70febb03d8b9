"""A small file of the structure of nyu_depth_v2_labeled.mat, whose scenes are known."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from mmengine.structures import PixelData

from mmbmtas.conversion import convert_nyudv2
from mmbmtas.conversion.nyudv2 import CAMERA
from mmbmtas.datasets import NYUDv2MT
from mmbmtas.datasets.checking import check_dataset
from mmbmtas.evaluation import DepthMetric, NormalsMetric, OdsF, SemSegMetric
from mmbmtas.structures.boundaries import thin
from mmbmtas.structures.data_sample import MultiTaskDataSample

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/nyudv2.py'
SIZE = (120, 160)  # a quarter of the official images
KEPT = (slice(11, 118), slice(10, 150))  # rows 45 to 470, columns 40 to 600 at this size
NAMES = ('book', 'wall', 'chair', 'teapot', 'floor')
MAPPING = [40, 1, 5, 40, 2]  # of these names, in the order of the 40 classes
NORMALS = {'wall': (0.6, 0.0, 0.8), 'box': (0.0, 0.0, 1.0)}


def scene(number):
    """Two chairs of one depth, side by side, before a slanted wall; a strip without label."""
    rng = np.random.default_rng(number)
    image = np.kron(rng.integers(0, 256, (15, 20, 3)), np.ones((8, 8, 1)))
    rows, columns = np.indices(SIZE)
    focal, middle = CAMERA.fx / 4, (CAMERA.cx + 0.5) / 4 - 0.5
    right = (columns - middle) / focal
    wall = 3.0 / (0.8 - 0.6 * right)  # (right, up, -1) @ (0.6, 0, 0.8) = -3 / depth
    chair = (abs(rows - 60 - number) < 25) & (abs(columns - 75) < 30)
    depth = np.where(chair, 1.5, wall)
    labels = np.where(chair, 3, 2)
    labels[:, 130:] = 0
    labels[:4], labels[-1:], labels[:, :4] = 0, 0, 0  # the frame that is cut off
    instances = np.where(chair, 1 + (columns >= 75), labels > 0)
    return image, depth, labels, instances


@pytest.fixture(scope='module')
def files(tmp_path_factory, mat73):
    folder = tmp_path_factory.mktemp('official')
    stacks = [np.stack(arrays, -1) for arrays in zip(*map(scene, range(3)), strict=True)]
    raw = stacks[1].copy()
    raw[50:55, 30:35] = 0
    mat73.save_mat73(
        folder / 'nyu_depth_v2_labeled.mat',
        images=stacks[0].astype(np.uint8),
        depths=stacks[1].astype(np.float32),
        rawDepths=raw.astype(np.float32),
        labels=stacks[2].astype(np.uint16),
        instances=stacks[3].astype(np.uint8),
        names=NAMES,
    )
    splits = {'trainNdxs': [[1], [3]], 'testNdxs': [[2]]}
    scipy.io.savemat(folder / 'splits.mat', splits)
    scipy.io.savemat(folder / 'classMapping40.mat', {'mapClass': [MAPPING]})
    return folder


def convert(files, out, **options):
    names = ('nyu_depth_v2_labeled.mat', 'splits.mat', 'classMapping40.mat')
    return convert_nyudv2(*(files / name for name in names), out, **options)


@pytest.fixture(scope='module')
def converted(files, tmp_path_factory):
    out = tmp_path_factory.mktemp('data') / 'NYUD_MT'
    assert convert(files, out) == {'written': 3, 'kept': 0}
    return out


def load(root, split):
    steps = [dict(type='LoadSampleImage'), dict(type='LoadNYUDv2Labels')]
    return NYUDv2MT(root, split, pipeline=steps)


def test_the_files_pass_the_check(converted):
    report = check_dataset(converted)
    assert report.passed, report.problems
    assert [item['img_id'] for item in load(converted, 'train')] == ['0001', '0003']


def test_images_and_labels_are_those_of_the_file(converted):
    (found,) = load(converted, 'val')
    image, depth, labels, _ = (array[KEPT] for array in scene(1))
    assert found['img'].shape == (107, 140, 3)
    assert abs(found['img'][..., ::-1] - image).mean() < 6  # JPEG
    np.testing.assert_allclose(found['gt_depth'], depth, rtol=1e-6)
    classes = np.array([255, 39, 0, 4, 39, 1])  # of unlabelled and each name, from 0
    assert np.array_equal(found['gt_semseg'], classes[labels])


def test_edges_are_of_objects_not_of_classes(converted):
    (found,) = load(converted, 'val')
    edge = found['gt_edge']
    inside = edge[30:70, 50:80]  # both chairs, whose border is column 75 of the file
    assert (inside.sum(1) == 1).all()
    assert set(np.nonzero(inside)[1]) == {74 - 10 - 50}
    assert np.array_equal(edge, thin(edge))


def test_normals_are_exact_on_both_sides_and_unknown_where_depth_was_filled_in(converted):
    (found,) = load(converted, 'val')
    chair = (scene(1)[1] == 1.5)[KEPT]
    truth = np.where(chair[..., None], NORMALS['box'], NORMALS['wall'])
    normals = found['gt_normals']
    unknown = np.zeros(chair.shape, bool)
    unknown[50 - 11 : 55 - 11, 30 - 10 : 35 - 10] = True
    assert np.array_equal((normals == 0).all(-1), unknown)
    cosines = (normals * truth).sum(-1)[~unknown]
    assert np.degrees(np.arccos(np.clip(cosines, -1, 1))).max() < 0.2


def test_our_metrics_find_the_labels_perfect(converted):
    """Predictions made from the scenes themselves."""
    (found,) = load(converted, 'val')
    chair = (scene(1)[1] == 1.5)[KEPT]
    normals = np.where(chair[..., None], NORMALS['box'], NORMALS['wall'])
    predictions = {
        'semseg': torch.tensor(np.where(chair, 4, 0))[None],
        'depth': torch.tensor(scene(1)[1][KEPT])[None],
        'normals': torch.tensor(normals).permute(2, 0, 1),
        'edge': torch.tensor(found['gt_edge'])[None].float(),
    }
    sample = MultiTaskDataSample(metainfo={'img_path': '0002.jpg'})
    for task, prediction in predictions.items():
        label = torch.tensor(found[f'gt_{task}'])
        label = label.permute(2, 0, 1) if label.ndim == 3 else label[None]
        sample.set_field(PixelData(data=label), f'gt_{task}')
        sample.set_field(PixelData(data=prediction), f'pred_{task}')
    scores = {}
    for metric in (
        SemSegMetric(num_classes=40),
        DepthMetric(),
        NormalsMetric(),
        OdsF(dataset='nyud', thresholds=[0.5], jobs=1),
    ):
        metric.process({}, [sample.to_dict()])
        scores |= metric.evaluate(1)
    assert scores['semseg/mIoU'] == pytest.approx(100)
    assert scores['depth/rmse'] == pytest.approx(0, abs=1e-5)
    assert scores['normals/mean'] < 0.2
    assert scores['edge/odsF'] > 99


def test_it_goes_on_where_it_was_interrupted(files, tmp_path, monkeypatch):
    out = tmp_path / 'NYUD_MT'
    from mmbmtas.conversion import nyudv2

    done = []

    def interrupted(*arguments):
        if done:
            raise KeyboardInterrupt
        done.append(arguments)
        return original(*arguments)

    original = nyudv2.save_palette_png
    with monkeypatch.context() as patch:
        patch.setattr(nyudv2, 'save_palette_png', interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert(files, out)
    assert not list(out.rglob('gt_sets/*.txt'))  # no data set yet
    with pytest.raises(FileNotFoundError):
        load(out, 'train')
    assert not list(out.rglob('*.part'))
    before = (out / 'normals/0001.npy').stat().st_mtime_ns
    assert convert(files, out) == {'written': 2, 'kept': 1}
    assert (out / 'normals/0001.npy').stat().st_mtime_ns == before
    assert check_dataset(out).passed


def test_another_source_is_not_mixed_in(files, converted, tmp_path):
    other = tmp_path / 'classMapping40.mat'
    scipy.io.savemat(other, {'mapClass': [[39, 1, 5, 40, 2]]})
    with pytest.raises(FileExistsError, match=r'conversion\.json'):
        convert_nyudv2(files / 'nyu_depth_v2_labeled.mat', files / 'splits.mat', other, converted)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/notes.txt').write_text('x')
    with pytest.raises(FileExistsError, match=r'notes\.txt'):
        convert(files, tmp_path / 'mine')


@pytest.mark.parametrize(
    ('variables', 'message'),
    [
        (
            {'trainNdxs': [[1], [4]], 'testNdxs': [[2]]},
            'in trainNdxs numbers of images, 1 to 3.* 4',
        ),
        ({'trainNdxs': [[1], [1]], 'testNdxs': [[2]]}, 'one of them twice'),
        ({'trainNdxs': [[1], [2]], 'testNdxs': [[2]]}, 'image 2 is in trainNdxs and in testNdxs'),
        ({'trainNdxs': [[1.5]], 'testNdxs': [[2]]}, 'whole numbers in trainNdxs'),
        ({'train': [[1]]}, "expected a variable 'trainNdxs'"),
    ],
)
def test_splits_that_do_not_fit(files, tmp_path, variables, message):
    splits = tmp_path / 'splits.mat'
    scipy.io.savemat(splits, variables)
    mapping = files / 'classMapping40.mat'
    with pytest.raises(ValueError, match=rf'splits\.mat: .*{message}|splits\.mat: {message}'):
        convert_nyudv2(files / 'nyu_depth_v2_labeled.mat', splits, mapping, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('numbers', 'message'),
    [
        ([40, 1, 5], 'each of the 5 names in .*found 3 numbers'),
        ([41, 1, 5, 40, 2], '1 to 41'),
        ([0, 1, 5, 40, 2], '0 to 40'),
        ([7, 12, 4, 7, 5], "'wall' as 1, found 12"),  # the 13 classes
    ],
)
def test_classes_that_do_not_fit(files, tmp_path, numbers, message):
    mapping = tmp_path / 'mapping.mat'
    scipy.io.savemat(mapping, {'mapClass': [numbers]})
    with pytest.raises(ValueError, match=rf'mapping\.mat: .*{message}'):
        convert_nyudv2(
            files / 'nyu_depth_v2_labeled.mat', files / 'splits.mat', mapping, tmp_path / 'out'
        )


def test_a_file_of_another_structure(files, tmp_path, mat73):
    file = tmp_path / 'other.mat'
    mat73.save_mat73(file, images=np.zeros((3, 120, 160, 3), np.uint8), names=NAMES)
    with pytest.raises(ValueError, match=r'other\.mat: expected images of shape \(480, 640, 3\)'):
        convert_nyudv2(file, files / 'splits.mat', files / 'classMapping40.mat', tmp_path / 'out')


class TestTool:
    def run(self, monkeypatch, *words):
        monkeypatch.setattr(sys, 'argv', ['nyudv2.py', *map(str, words)])
        with pytest.raises(SystemExit) as status:
            runpy.run_path(str(TOOL), run_name='__main__')
        return status.value.code or 0

    def test_two_files_and_the_classes_beside_them(self, files, tmp_path, monkeypatch, capfd):
        words = files / 'nyu_depth_v2_labeled.mat', files / 'splits.mat', '-o', tmp_path / 'NYUD_MT'
        assert self.run(monkeypatch, *words, '--jobs', 2) == 0
        out, error = capfd.readouterr()
        assert '3 samples written, 0 kept' in out
        assert 'converting: 3/3' in error
        self.run(monkeypatch, *words, '--classes', files / 'classMapping40.mat')
        assert '0 samples written, 3 kept' in capfd.readouterr().out

    def test_missing_classes_say_where_they_are_published(
        self, files, tmp_path, monkeypatch, capfd
    ):
        (tmp_path / 'nyu.mat').symlink_to(files / 'nyu_depth_v2_labeled.mat')
        words = tmp_path / 'nyu.mat', files / 'splits.mat', '-o', tmp_path / 'out'
        assert self.run(monkeypatch, *words) == 1
        line = capfd.readouterr().err
        assert f'{tmp_path / "classMapping40.mat"} is missing' in line
        assert 'rcnn-depth' in line
