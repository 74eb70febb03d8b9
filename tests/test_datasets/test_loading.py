"""Reading files: every value against the file's bytes, and one clear error for each broken file."""

import shutil

import numpy as np
import pytest
import scipy.io
from PIL import Image

from mmbmtas.datasets import NYUDv2MT, PascalContextMT
from mmbmtas.datasets.pascal_labels import NORMALS_VALID, PARTS
from mmbmtas.datasets.transforms import (
    LoadNYUDv2Labels,
    LoadPascalContextLabels,
    LoadSampleImage,
)


def load(dataset, index):
    loader = LoadNYUDv2Labels() if isinstance(dataset, NYUDv2MT) else LoadPascalContextLabels()
    return loader(LoadSampleImage()(dataset.get_data_info(index)))


@pytest.fixture
def pascal(pascal_root, tmp_path):
    return shutil.copytree(pascal_root, tmp_path / 'PASCAL_MT')


@pytest.fixture
def first(pascal):
    """A function that opens the folder for some tasks and loads its first sample."""
    return lambda *tasks: load(
        PascalContextMT(str(pascal), tasks=list(tasks), serialize_data=False), 0
    )


def test_image_is_bgr(pascal_root):
    results = load(PascalContextMT(str(pascal_root), tasks=['semseg']), 1)
    expected = np.asarray(Image.open(results['img_path']))[..., ::-1]
    assert results['img'].dtype == np.uint8
    assert np.array_equal(results['img'], expected)
    assert results['ori_shape'] == results['img_shape'] == (37, 51)


def test_semseg_keeps_palette_indices(pascal_root):
    dataset = PascalContextMT(str(pascal_root), tasks=['semseg'])
    assert np.array_equal(load(dataset, 0)['gt_semseg'], np.full((40, 56), 7))
    results = load(dataset, 1)
    stored = Image.open(results['label_paths']['semseg'])
    assert stored.mode == 'P'
    assert np.array_equal(results['gt_semseg'], np.array(stored))
    assert 255 in results['gt_semseg']
    assert results['label_keys'] == ['gt_semseg']


def test_parts_are_drawn_in_order(pascal_root):
    parts = load(PascalContextMT(str(pascal_root), tasks=['human_parts']), 0)['gt_human_parts']
    expected = np.zeros((40, 56), np.uint8)
    expected[8:24, 4:20] = 2  # torso
    expected[4:12, 8:16] = 1  # head, over the torso
    expected[4:8, 15:18] = 1  # left ear
    expected[28:32, 6:12] = 6  # right foot
    assert np.array_equal(parts, expected)


def test_two_people_later_over_earlier(pascal, layouts, first):
    shape = (40, 56)
    whole = np.ones(shape, np.uint8)
    people = [
        (15, whole, [('head', layouts.box(shape, 0, 0, 20, 20))]),
        (15, whole, [('rlarm', layouts.box(shape, 10, 10, 30, 30))]),
    ]
    layouts.save_parts(pascal / 'human_parts/2008_000001.mat', '2008_000001', people)
    parts = first('human_parts')['gt_human_parts']
    assert parts[5, 5] == 1
    assert parts[15, 15] == 4
    assert parts[25, 25] == 4


def test_parts_of_people_without_annotation_are_background(pascal_root):
    dataset = PascalContextMT(str(pascal_root), tasks=['semseg', 'human_parts'])
    for index in (1, 2):
        assert not load(dataset, index)['gt_human_parts'].any()


def test_merged_parts():
    groups = [sorted(n for n in PARTS if PARTS[n] == i) for i in range(1, 7)]
    assert [len(group) for group in groups] == [10, 2, 2, 4, 2, 4]
    assert groups[3] == ['lhand', 'llarm', 'rhand', 'rlarm']


def test_saliency_is_more_than_half(pascal_root):
    results = load(PascalContextMT(str(pascal_root), tasks=['saliency']), 0)
    stored = np.asarray(Image.open(results['label_paths']['saliency']))
    assert set(np.unique(stored)) == {0, 127, 128, 255}
    assert np.array_equal(results['gt_saliency'], stored / 255 > 0.5)


def test_normals_are_valid_in_170_classes(pascal_root):
    assert NORMALS_VALID.sum() == 170
    results = load(PascalContextMT(str(pascal_root), tasks=['normals', 'edge']), 0)
    colours = np.asarray(Image.open(results['label_paths']['normals'])).astype(np.float64)
    label_map = scipy.io.loadmat(results['label_paths']['label_map'])['LabelMap']
    expected = 2 * colours / 255 - 1
    expected[~np.isin(label_map, [3, 4, 284, 454])] = 0
    expected[:2, :2] = 0  # the grey that stands for the zero vector
    assert results['gt_normals'].dtype == np.float32
    np.testing.assert_allclose(results['gt_normals'], expected, atol=1e-6)
    assert np.array_equal(results['label_map'], label_map)
    assert results['label_map'].dtype == np.uint16


def test_label_map_is_kept_for_edges_only(pascal_root):
    assert 'label_map' not in load(PascalContextMT(str(pascal_root), tasks=['normals']), 0)


def test_nyud_values(nyud_root, layouts):
    packaging = nyud_root.name.split('_')[2][0]
    rng = np.random.default_rng(0)
    dataset = NYUDv2MT(str(nyud_root), split='train')
    for index in range(3):
        image, classes, edge, normals, depth = layouts.nyud_sample(rng, layouts.NYUD_SIZE)
        results = load(dataset, index)
        assert results['label_keys'] == ['gt_semseg', 'gt_depth', 'gt_normals', 'gt_edge']
        semseg = results['gt_semseg']
        assert semseg.dtype == np.uint8
        assert np.array_equal(semseg, np.where(classes == 0, 255, classes - 1.0))
        assert np.array_equal(results['gt_edge'], edge)
        np.testing.assert_allclose(results['gt_depth'], depth, rtol=1e-6)
        assert results['gt_depth'].dtype == results['gt_normals'].dtype == np.float32
        # 8 bits, and JPEG in packaging A, lose some of the normals.
        error = np.abs(results['gt_normals'] - normals)
        assert error.max() < {'A': 0.2, 'B': 1e-6, 'C': 0.0041}[packaging]
        if packaging == 'C':
            assert np.array_equal(results['img'], image[..., ::-1])


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, -1.0])
def test_unknown_depth_becomes_zero(layouts, tmp_path, bad):
    root = layouts.write_nyud(tmp_path, 'B')
    path = root / 'depth/0001.npy'
    depth = np.load(path)
    depth[10, 10] = bad
    np.save(path, depth[..., None])  # one channel is dropped
    loaded = load(NYUDv2MT(str(root)), 0)['gt_depth']
    assert loaded[10, 10] == 0
    assert np.isfinite(loaded).all()
    assert loaded.shape == (35, 44)


def test_real_photographs_load(real_nyud_root):
    dataset = NYUDv2MT(str(real_nyud_root), split='train')
    for index in range(len(dataset)):
        results = load(dataset, index)
        depth, normals = results['gt_depth'], results['gt_normals']
        known = depth > 0
        assert 0.3 < known.mean() < 0.95
        assert np.isfinite(depth).all()
        length = np.linalg.norm(normals, axis=-1)
        assert np.allclose(length[length > 0], 1, atol=1e-5)
        # Surfaces that a camera sees face it.
        assert (normals[length > 0][:, 2] > -0.2).mean() > 0.97


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ('task', 'file'),
    [
        ('semseg', 'JPEGImages/2008_000001.jpg'),
        ('semseg', 'semseg/VOC12/2008_000001.png'),
        ('saliency', 'sal_distill/2008_000001.png'),
        ('normals', 'normals_distill/2008_000001.png'),
        ('edge', 'pascal-context/trainval/2008_000001.mat'),
        ('human_parts', 'human_parts/2008_000001.mat'),
    ],
)
@pytest.mark.parametrize('damage', ['truncated', 'empty', 'text'])
def test_damaged_files(pascal, first, task, file, damage):
    PascalContextMT(str(pascal), serialize_data=False)  # writes the cache
    path = pascal / file
    if damage == 'truncated':
        truncate(path)
    else:
        path.write_bytes(b'' if damage == 'empty' else b'this is not an image, nor a matrix\n' * 9)
    with pytest.raises(ValueError, match=r'expected a readable') as error:
        first(task)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ('task', 'file'),
    [
        ('semseg', 'semseg/VOC12/2008_000001.png'),
        ('saliency', 'sal_distill/2008_000001.png'),
        ('normals', 'normals_distill/2008_000001.png'),
    ],
)
def test_label_of_another_size(pascal, first, task, file):
    path = pascal / file
    Image.open(path).crop((0, 0, 50, 40)).save(path)
    with pytest.raises(
        ValueError, match=r'expected a label of the size of its image .*\(40, 56\)'
    ) as e:
        first(task)
    assert 'found (40, 50)' in str(e.value)


def test_colour_image_where_indices_belong(pascal, first):
    path = pascal / 'semseg/VOC12/2008_000001.png'
    Image.open(path).convert('RGB').save(path)
    with pytest.raises(
        ValueError, match=r'expected an 8-bit palette or grey image .*found mode RGB'
    ):
        first('semseg')


def test_class_beyond_the_last(pascal, first, layouts):
    layouts.save_palette_png(pascal / 'semseg/VOC12/2008_000001.png', np.full((40, 56), 21))
    with pytest.raises(ValueError, match='expected classes 0 to 20 or 255, found 21'):
        first('semseg')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'labels': np.ones((40, 56))}, "expected a variable 'LabelMap', found variables: labels"),
        ({'LabelMap': np.ones((40, 56, 2))}, 'expected LabelMap as an H x W array'),
        ({'LabelMap': 'words'}, 'expected LabelMap as an H x W array'),
        (
            {'LabelMap': np.full((40, 56), 460)},
            'expected class ids 0 to 459 in LabelMap, found 460',
        ),
        ({'LabelMap': np.full((40, 56), np.nan)}, 'expected class ids 0 to 459'),
        ({'LabelMap': np.ones((41, 56))}, r'found \(41, 56\)'),
    ],
)
def test_label_map_of_another_structure(pascal, first, content, message):
    scipy.io.savemat(pascal / 'pascal-context/trainval/2008_000001.mat', content)
    with pytest.raises(ValueError, match=message):
        first('edge')


def test_parts_of_another_structure(pascal, first):
    scipy.io.savemat(pascal / 'human_parts/2008_000001.mat', {'anno': np.ones((3, 3))})
    with pytest.raises(ValueError, match='expected a structure anno with objects'):
        first('human_parts')


def test_unknown_part(pascal, first, layouts):
    whole = np.ones((40, 56), np.uint8)
    file = pascal / 'human_parts/2008_000001.mat'
    layouts.save_parts(file, 'x', [(15, whole, [('wing', whole)])])
    with pytest.raises(ValueError, match="found 'wing'"):
        first('human_parts')
    layouts.save_parts(file, 'x', [(15, whole, [('head', whole[:9])])])
    with pytest.raises(ValueError, match=r"found \(9, 56\) for part 'head'"):
        first('human_parts')


@pytest.mark.parametrize(
    ('packaging', 'file', 'array', 'message'),
    [
        ('B', 'normals/0001.npy', np.ones((35, 44)), r'expected normals of shape \(H, W, 3\)'),
        ('B', 'depth/0001.npy', np.ones((35, 44, 2)), r'expected numbers of shape \(H, W\)'),
        (
            'B',
            'edge/0001.npy',
            np.ones((35, 44), bool)[None],
            r'expected numbers of shape \(H, W\)',
        ),
        ('B', 'depth/0001.npy', np.full((35, 44), 'x'), 'expected an array of numbers'),
        ('B', 'depth/0001.npy', np.array([{}]), 'expected a readable npy file'),
        ('A', 'segmentation/0001.mat', np.full((35, 44), 1.5), 'expected whole numbers 0 to 40'),
        ('A', 'segmentation/0001.mat', np.full((35, 44), 41), 'expected classes 0 to 40'),
        ('A', 'segmentation/0001.mat', np.full((35, 44), -1.0), 'expected whole numbers 0 to 40'),
    ],
)
@pytest.mark.filterwarnings('ignore:invalid value encountered in cast')
def test_nyud_labels_of_another_structure(layouts, tmp_path, packaging, file, array, message):
    root = layouts.write_nyud(tmp_path, packaging)
    if file.endswith('mat'):
        scipy.io.savemat(root / file, {'segmentation': array})
    else:
        np.save(root / file, array)
    with pytest.raises(ValueError, match=message) as error:
        load(NYUDv2MT(str(root)), 0)
    assert str(root / file) in str(error.value)
