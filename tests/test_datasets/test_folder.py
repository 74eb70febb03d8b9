"""The data set of a user's own folder: matching, splits, kinds of labels, and complaints."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from mmbmtas.datasets import ConcatDataset, FolderMT
from mmbmtas.datasets.cache_writer import write_cache
from mmbmtas.datasets.checking import check_dataset
from mmbmtas.datasets.folder_files import draw_split
from mmbmtas.datasets.preparing import prepare_dataset
from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.launch.described import describe_dataset
from mmbmtas.registry import DATASETS
from mmbmtas.structures.tasks import label_task
from mmbmtas.visualization import sample_columns
from mmbmtas.visualization.label_maps import valid_pixels

SHAPE = (4, 6)
LOAD = [{'type': 'LoadSampleImage'}, {'type': 'LoadFolderLabels'}]
MASKS = {'kind': 'classes', 'files': 'masks/{stem}_mask.png', 'classes': 'classes.txt'}
DEPTH = {'kind': 'value', 'scale': 0.001, 'invalid': 0, 'unit': 'm', 'shrinks': True}


@pytest.fixture
def photos(tmp_path, write_photos):
    return write_photos(tmp_path / 'photos')


def one(tmp_path, label, spec, name='label'):
    """The sample of a folder with one image and its label, written by a function of the path."""
    (tmp_path / 'images').mkdir(exist_ok=True)
    (tmp_path / name).mkdir(exist_ok=True)
    for stem in 'ab':
        Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(tmp_path / 'images' / f'{stem}.png')
        label(tmp_path / name / stem)
    dataset = FolderMT(str(tmp_path), {name: spec}, pipeline=LOAD)
    return dataset[0][f'gt_{name}']


def png(array, **options):
    return lambda path: Image.fromarray(array).save(f'{path}.png', **options)


def npy(array):
    return lambda path: np.save(f'{path}.npy', array)


def test_a_palette_of_ones_own(photos):
    labels = {'masks': MASKS, 'other': {**MASKS, 'classes': 4}, 'depth': DEPTH}
    colours = [[0, 0, 0], [9, 9, 9], [200, 30, 30], [1, 2, 3]]

    def palette(**stated):
        return FolderMT(str(photos), labels, metainfo={'palette': stated}, lazy_init=True).metainfo

    before = FolderMT(str(photos), labels, lazy_init=True).metainfo
    assert palette(masks=colours)['palette'] == {**before['palette'], 'masks': colours}
    with pytest.raises(InputError, match=r'palette\.masks of FolderMT: .* 4 colours.*found 2'):
        palette(masks=colours[:2])
    with pytest.raises(InputError, match=r'names depth: expected tasks with classes, masks, other'):
        palette(depth=colours)


def test_a_folder_of_masks_and_depth(photos):
    dataset = FolderMT(
        str(photos),
        {'masks': MASKS, 'depth': DEPTH},
        pipeline=LOAD,
        allow_missing_labels=True,
        val_share=0.34,
    )
    held_out = FolderMT(
        str(photos), {'masks': MASKS, 'depth': DEPTH}, split='val', allow_missing_labels=True,
        val_share=0.34, pipeline=LOAD,
    )  # fmt: skip
    names = [{d.get_data_info(i)['img_id'] for i in range(len(d))} for d in (dataset, held_out)]
    assert (len(names[0]), len(names[1])) == (4, 2)
    assert names[0] | names[1] == {f'img_{i:03d}' for i in range(6)}
    assert dataset.metainfo['classes'] == {'masks': ['sky', 'ground', 'box', 'ball']}
    assert dataset.metainfo['units'] == {'depth': 'm'}
    for part in (dataset, held_out):
        for sample in part:
            stem = sample['img_id']
            stored = np.array(Image.open(photos / f'masks/{stem}_mask.png'))
            np.testing.assert_array_equal(sample['gt_masks'], stored)
            if stem == 'img_005':
                assert sample['label_keys'] == ['gt_masks']
                continue
            stored = np.array(Image.open(photos / f'depth/{stem}.png')).astype(np.float64)
            np.testing.assert_allclose(sample['gt_depth'], stored / 1000, rtol=1e-6)
            assert sample['gt_depth'].dtype == np.float32


def test_configs_build_it_and_narrow_its_tasks(photos):
    cfg = {
        'type': 'FolderMT', 'data_root': str(photos), 'labels': {'masks': MASKS, 'depth': DEPTH},
        'tasks': ['depth'], 'pipeline': LOAD,
    }  # fmt: skip
    dataset = DATASETS.build(cfg)
    # The image without depth is in no split: it has no label of the task.
    assert len(dataset) + len(DATASETS.build({**cfg, 'split': 'val'})) == 5
    assert dataset[0]['label_keys'] == ['gt_depth']


def test_missing_labels_are_refused_with_the_way_to_allow_them(photos):
    (photos / 'masks/img_001_mask.png').unlink()
    labels = {'masks': MASKS, 'depth': DEPTH}
    everything = {'train': ids(photos)}
    with pytest.raises(MissingFileError, match=r'masks/img_001_mask\.png') as caught:
        FolderMT(str(photos), labels, splits=everything)
    assert 'allow_missing_labels=True' in str(caught.value)
    assert len(FolderMT(str(photos), labels, splits=everything, allow_missing_labels=True)) == 5


def ids(photos, names=tuple(f'img_{i:03d}' for i in range(5)), file='all.txt'):
    (photos / file).write_text('\n'.join(names))
    return file


@pytest.mark.parametrize('form', ['img_{:03d}', 'img_{:03d}.jpg', 'images/img_{:03d}.jpg'])
def test_splits_from_files(photos, form):
    train = ids(photos, [form.format(i) for i in (3, 1)], 'train.txt')
    val = ids(photos, [form.format(0)], 'val.txt')
    found = [
        [
            info['img_id']
            for info in FolderMT(
                str(photos), {'masks': MASKS}, split=split, splits={'train': train, 'val': val}
            ).load_data_list()
        ]
        for split in ('train', 'val')
    ]
    assert found == [['img_003', 'img_001'], ['img_000']]


def test_a_split_file_with_unknown_images_is_refused(photos):
    ids(photos, ['img_000', 'img_900'])
    with pytest.raises(MissingFileError, match=r"all\.txt: 1 of its 2 .*'img_900'"):
        FolderMT(str(photos), {'masks': MASKS}, splits={'train': 'all.txt'})


def test_a_drawn_split_keeps_its_images_as_others_come():
    few = dict.fromkeys(f'{i:04d}' for i in range(200))
    many = dict.fromkeys(f'{i:04d}' for i in range(220))
    before, after = draw_split(few, 0.2, 7), draw_split(many, 0.2, 7)
    assert len(before) == 40
    assert len(after) == 44
    assert len(before & after) >= 34  # 40 of 200, 4 in 44 of which are new
    assert draw_split(few, 0.2, 8) != before
    assert len(draw_split({'a': 0, 'b': 0}, 0.0, 0)) == 1
    assert len(draw_split({'a': 0, 'b': 0}, 1.0, 0)) == 1


def test_a_drawn_split_gives_rare_labels_their_share():
    present = {f'{i:02d}': ('masks', 'depth') if i % 4 == 0 else ('masks',) for i in range(40)}
    drawn = draw_split(present, 0.2, 0)
    assert sum(present[stem] == ('masks', 'depth') for stem in drawn) == 2
    assert len(drawn) == 8


def test_no_image_changes_sides_with_the_tasks(photos):
    def split(name, tasks):
        data = FolderMT(
            str(photos), {'masks': MASKS, 'depth': DEPTH}, split=name, tasks=tasks,
            allow_missing_labels=True, val_share=0.5,
        )  # fmt: skip
        return {data.get_data_info(i)['img_id'] for i in range(len(data))}

    for tasks in (['depth'], ['masks']):
        assert split('train', tasks) <= split('train', None)
        assert split('val', tasks) <= split('val', None)


@pytest.mark.parametrize('kind', ['csv', 'semicolons', 'json'])
def test_a_list_of_files_with_splits_and_gaps(photos, kind):
    rows = [
        {'image': f'images/img_{i:03d}.jpg', 'masks': f'masks/img_{i:03d}_mask.png',
         'depth': f'depth/img_{i:03d}.png' if i < 2 else '', 'split': 'val' if i == 1 else 'train'}
        for i in range(4)
    ]  # fmt: skip
    if kind == 'json':
        (photos / 'list.json').write_text(json.dumps({'samples': rows}))
    else:
        comma = ',' if kind == 'csv' else ';'
        lines = [comma.join(rows[0]), *(comma.join(row.values()) for row in rows)]
        (photos / 'list.csv').write_text('\n'.join(lines), encoding='utf-8-sig')
    dataset = FolderMT(
        str(photos), {'masks': MASKS, 'depth': DEPTH},
        files=f'list.{"json" if kind == "json" else "csv"}', allow_missing_labels=True,
    )  # fmt: skip
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [i['img_path'] for i in infos] == [str(photos / rows[k]['image']) for k in (0, 2, 3)]
    assert [[*i['label_paths']] for i in infos] == [['masks', 'depth'], ['masks'], ['masks']]


def test_a_listed_label_must_exist(photos):
    (photos / 'list.csv').write_text('image,masks\nimages/img_000.jpg,masks/no.png\n'
                                     'images/img_001.jpg,masks/no.png\n')  # fmt: skip
    with pytest.raises(MissingFileError, match=r'masks/no\.png'):
        FolderMT(str(photos), {'masks': MASKS}, files='list.csv', allow_missing_labels=True)


def test_files_of_one_folder_are_told_apart_by_the_longer_pattern(tmp_path):
    for stem in ('a', 'b', 'c'):
        for ending in ('', '_mask', '_depth'):
            Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / f'{stem}{ending}.png')
    labels = {
        'masks': {'kind': 'classes', 'files': '{stem}_mask.png', 'classes': 2},
        'depth': {'kind': 'value', 'files': '{stem}_depth.*'},
    }
    for tasks in (None, ['depth']):  # the masks are no images, asked for or not
        dataset = FolderMT(str(tmp_path), labels, images='{stem}.png', tasks=tasks)
        assert {*dataset._all_samples()} == {'a', 'b', 'c'}


def test_folders_within_images(tmp_path):
    for place in ('images/day/1', 'images/night/1', 'masks/day/1', 'masks/night/1'):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / f'{place}.PNG')
    (tmp_path / 'images/.thumbs.png').write_text('')
    dataset = FolderMT(str(tmp_path), {'masks': {'kind': 'classes', 'classes': 2}})
    assert sorted(dataset._all_samples()) == ['day__1', 'night__1']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'files': 'list.csv', 'images': 'pictures'}, "images 'pictures' .* list.csv"),
        ({'splits': {'train': 'a.txt'}, 'val_share': 0.5}, 'val_share 0.5 .* splits names'),
        ({'splits': {'train': 'a.txt'}, 'split_seed': 3}, 'split_seed 3 .* splits names'),
        ({'splits': {'tarin': 'a.txt'}}, "expected dict.train='train.txt', val='val.txt'."),
        ({'val_share': 20}, 'val_share of FolderMT 20: expected a number from 0 to 1'),
    ],
)
def test_settings_without_effect_are_refused(photos, options, message):
    with pytest.raises(InputError, match=message):
        FolderMT(str(photos), {'masks': MASKS}, **options)


def test_two_files_for_one_label_are_refused(photos):
    np.save(photos / 'depth/img_001.npy', np.ones((72, 96)))
    with pytest.raises(InputError, match=r"depth/img_001\.npy and depth/img_001\.png.*'img_001'"):
        FolderMT(str(photos), {'depth': DEPTH})


def test_no_image_names_what_is_there(photos):
    with pytest.raises(MissingFileError, match=r'pictures/\{stem\}.*18 files.*depth, images'):
        FolderMT(str(photos), {'depth': DEPTH}, images='pictures')
    with pytest.raises(MissingFileError, match='no such folder'):
        FolderMT(str(photos / 'nowhere'), {'depth': DEPTH})


INDICES = np.array([[0, 1, 2, 3, 255, 0]] * 4, np.uint8)


@pytest.mark.parametrize('form', ['grey', 'palette', 'rgb', '16 bit', 'npy', 'mat'])
def test_classes_of_every_form(tmp_path, form):
    def write(path):
        if form == 'palette':
            image = Image.fromarray(INDICES)
            image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
            image.save(f'{path}.png')
        elif form == 'mat':
            scipy.io.savemat(f'{path}.mat', {'label': INDICES.astype(float)})
        elif form == 'npy':
            np.save(f'{path}.npy', INDICES.astype(np.int64))
        elif form == 'rgb':
            Image.fromarray(np.repeat(INDICES[..., None], 3, -1)).save(f'{path}.png')
        else:
            Image.fromarray(INDICES.astype(np.uint16 if form == '16 bit' else np.uint8)).save(
                f'{path}.png'
            )

    label = one(tmp_path, write, {'kind': 'classes', 'classes': list('abcd')})
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, INDICES)


def test_classes_by_stored_numbers_and_by_colours(tmp_path):
    stored = np.array([[7, 11, 26, 0, 255, 7]] * 4, np.uint8)
    expected = np.array([[0, 1, 2, 255, 255, 0]] * 4)
    spec = {'kind': 'classes', 'classes': list('abc'), 'ids': [7, 11, 26], 'ignore': [0, 255]}
    np.testing.assert_array_equal(one(tmp_path, png(stored), spec), expected)

    colours = [[128, 64, 128], [0, 0, 142], [1, 0, 0]]
    table = np.zeros((256, 3), np.uint8)
    table[[7, 11, 26]] = colours
    table[255] = table[0] = [255, 255, 255]
    spec = {'kind': 'classes', 'classes': list('abc'), 'colours': colours,
            'ignore': [[255, 255, 255]]}  # fmt: skip
    np.testing.assert_array_equal(one(tmp_path, png(table[stored]), spec, 'colour'), expected)
    spec.pop('ignore')
    with pytest.raises(InputError, match=r'colour2/.\.png: the colour \[255, 255, 255\] is of no'):
        one(tmp_path, png(table[stored]), spec, 'colour2')


def test_a_class_out_of_range_and_coloured_masks_name_their_file(tmp_path):
    spec = {'kind': 'classes', 'classes': list('abc')}
    with pytest.raises(InputError, match=r'label/.\.png: expected classes 0 to 2 or 255, found 3'):
        one(tmp_path, png(INDICES), spec)
    colours = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    with pytest.raises(InputError, match=r'masks/.\.png.*labels\.masks\.colours'):
        one(tmp_path, png(colours), spec, 'masks')


@pytest.mark.parametrize(
    ('stored', 'ignore'),
    [
        (np.array([[0, 1, 1, 0, 0, 1]] * 4, np.uint8), None),
        (np.array([[0, 255, 255, 0, 0, 255]] * 4, np.uint8), None),
        (np.array([[0, 1, 1, 0, 255, 1]] * 4, np.uint8), 255),
        (np.array([[0, 255, 255, 0, 128, 255]] * 4, np.uint8), 128),
    ],
)
def test_binary_masks(tmp_path, stored, ignore):
    expected = np.array([[0, 1, 1, 0, 0 if ignore is None else 255, 1]] * 4)
    spec = {'kind': 'binary'} if ignore is None else {'kind': 'binary', 'ignore': ignore}
    np.testing.assert_array_equal(one(tmp_path, png(stored), spec), expected)
    np.testing.assert_array_equal(one(tmp_path, npy(stored), spec, 'array'), expected)


def test_values_with_scale_offset_and_invalid_numbers(tmp_path):
    stored = np.array([[0, 1000, 65535, 27315, 5, 6]] * 4, np.uint16)
    spec = {'kind': 'value', 'scale': 0.01, 'offset': -273.15, 'invalid': [0, 65535]}
    nan = math.nan
    expected = np.array([[nan, -263.15, nan, 0.0, -273.1, -273.09]] * 4)
    label = one(tmp_path, png(stored), spec, 'heat')
    np.testing.assert_allclose(label, expected, atol=1e-4)
    floats = np.array([[0, nan, math.inf, -1, 5, 6]] * 4)
    label = one(tmp_path, npy(floats), {'kind': 'value'}, 'height')
    np.testing.assert_array_equal(label, [[0, nan, nan, -1, 5, 6]] * 4)


def test_values_that_shrink_are_depth(tmp_path):
    floats = np.array([[0, math.nan, math.inf, 9999, 5, 6]] * 4)
    spec = {'kind': 'value', 'shrinks': True, 'invalid': 9999}
    np.testing.assert_array_equal(one(tmp_path, npy(floats), spec), [[0, 0, 0, 0, 5, 6]] * 4)
    with pytest.raises(InputError, match=r'lid/.\.npy: expected values of 0 or more, found -2'):
        one(tmp_path, npy(np.full(SHAPE, -2.0)), {'kind': 'value', 'shrinks': True}, 'lid')


def test_normals_as_arrays_and_colours(tmp_path):
    normals = np.zeros((*SHAPE, 3), np.float32)
    normals[0] = [0, 0.6, 0.8]
    normals[1, 0] = math.nan
    expected = np.nan_to_num(normals)
    np.testing.assert_array_equal(one(tmp_path, npy(normals), {'kind': 'normals'}), expected)
    colours = np.rint((expected + 1) / 2 * 255).astype(np.uint8)
    found = one(tmp_path, png(colours), {'kind': 'normals'}, 'coloured')
    np.testing.assert_allclose(found, expected, atol=1 / 127)
    with pytest.raises(InputError, match=r'long/.\.npy: expected unit vectors'):
        one(tmp_path, npy(expected * 9), {'kind': 'normals'}, 'long')


def test_a_label_of_another_size_names_both_files(tmp_path):
    with pytest.raises(InputError, match=r'label/.\.npy.*images/.\.png, \(4, 6\), found \(2, 2\)'):
        one(tmp_path, npy(np.zeros((2, 2))), {'kind': 'value'})


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        ({}, 'expected a dict of tasks'),
        (
            {'a': {'kind': 'labels'}},
            r'labels\.a\.kind: expected one of classes, bin',
        ),
        ({'a': {'kind': 'classes'}}, 'labels.a: .* need classes'),
        ({'a': {'kind': 'value', 'sclae': 2}}, r'labels\.a\.sclae: .*scale, offset, invalid'),
        ({'a': {'kind': 'value', 'scale': 'mm'}}, r"labels\.a\.scale 'mm': expected a finite"),
        ({'a': {'kind': 'value', 'files': 'a/b.png'}}, r'labels\.a\.files .*\{stem\}'),
        ({'a-b': {'kind': 'value'}}, r'labels\.a-b: expected a name'),
        ({'a': {'kind': 'classes', 'classes': ['x', 'y'], 'ids': [1, 1]}}, 'expected 2 different'),
        ({'a': {'kind': 'classes', 'classes': 2, 'ignore': [1]}}, 'ignore: 1 is also'),
        ({'a': {'kind': 'classes', 'classes': 1}}, 'expected 2 to 255 names'),
        ({'a': {'kind': 'classes', 'classes': 'no.txt'}}, r'no\.txt'),
        ({'a': {'kind': 'classes', 'classes': 2, 'colours': [[0, 0, 256], [0, 0, 0]]}}, 'colours'),
    ],
)
def test_wrong_settings_are_refused(photos, labels, message):
    with pytest.raises((InputError, MissingFileError), match=message):
        FolderMT(str(photos), labels)


def test_stated_kinds_hold_under_any_name(tmp_path):
    """Transforms treat tasks by the kinds that the data set states, not by their names."""
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(*SHAPE, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    arrays = {
        'distance': rng.uniform(1, 9, SHAPE),
        'heat': rng.uniform(-5, 5, SHAPE),
        'surface': normals,
        'edge': rng.integers(0, 7, SHAPE).astype(np.uint8),  # not the table's binary edges
        'crack': rng.integers(0, 2, SHAPE).astype(np.uint8),
    }
    labels = {
        'distance': {'kind': 'value', 'shrinks': True},
        'heat': {'kind': 'value', 'unit': '°C'},
        'surface': {'kind': 'normals'},
        'edge': {'kind': 'classes', 'classes': 7},
        'crack': {'kind': 'binary'},
    }
    for folder in ('images', *arrays):
        (tmp_path / folder).mkdir()
    for stem in 'ab':
        Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(tmp_path / f'images/{stem}.png')
        for task, array in arrays.items():
            np.save(tmp_path / f'{task}/{stem}.npy', array)
    change = [
        {'type': 'RandomScale', 'scales': [2.0]},
        {'type': 'PadToSize', 'size': [8, 14]},
        {'type': 'RandomFlipSample', 'prob': 1.0},
    ]
    found = FolderMT(str(tmp_path), labels, pipeline=LOAD + change)[0]
    inside = (slice(None), slice(1, 13))  # the padding is one pixel on each side

    def expected(array, factor=1):
        return np.kron(array * factor, np.ones((2, 2)))[:, ::-1]

    for task, factor in (('distance', 0.5), ('heat', 1), ('edge', 1), ('crack', 1)):
        np.testing.assert_allclose(
            found[f'gt_{task}'][inside], expected(arrays[task], factor), rtol=1e-6
        )
    np.testing.assert_allclose(
        found['gt_surface'][inside][..., 0], -expected(normals[..., 0]), rtol=1e-6
    )
    padding = {task: found[f'gt_{task}'][0, 0] for task in arrays}
    assert padding['distance'] == 0
    assert math.isnan(padding['heat'])
    assert (padding['edge'], padding['crack']) == (255, 255)

    packed = FolderMT(str(tmp_path), labels, pipeline=[*LOAD, {'type': 'PackMultiTaskInputs'}])
    sample = packed[0]['data_samples']
    columns = {c.name: c for c in sample_columns(sample, packed.metainfo)}
    assert columns['heat'].legend.scale[2] == '°C'
    assert columns['distance'].legend.scale[2] == ''
    assert {name for _, name in columns['crack'].legend.entries} == {'0', '1 (crack)'}
    assert {name for _, name in columns['edge'].legend.entries} <= {f'class {i}' for i in range(7)}
    zeros = np.zeros(SHAPE, np.float32)
    task = label_task('heat', True, sample.metainfo['task_kinds'])
    assert valid_pixels(task, zeros).all()  # 0 degrees are a value


TASKS = {'masks': MASKS, 'depth': DEPTH}
OPTIONS = {'labels': TASKS, 'cached_scales': [0.5]}


def samples_of(photos, split, cache, steps=()):
    dataset = FolderMT(
        str(photos), TASKS, split=split, allow_missing_labels=True, cache=cache,
        pipeline=[*LOAD, *steps], val_share=0.34,
    )  # fmt: skip
    return dataset, [dataset[i] for i in range(len(dataset))]


def test_the_check_opens_every_file_and_knows_what_may_be_missing(photos):
    options = {'labels': TASKS, 'allow_missing_labels': True}
    report = check_dataset(photos, dataset_type=FolderMT, options=options)
    assert report.passed
    assert report.opened == 6 + 6 + 5
    assert '1 images have no label of depth' in report.notes
    strict = check_dataset(photos, dataset_type=FolderMT, options={'labels': TASKS})
    assert [(p.kind, Path(p.path).name) for p in strict.problems] == [('missing', 'img_005.*')]


def test_the_check_finds_what_is_wrong(photos):
    save = Image.fromarray
    save(np.full((72, 96), 9, np.uint8)).save(photos / 'masks/img_000_mask.png')
    save(np.ones((7, 9), np.uint8)).save(photos / 'masks/img_001_mask.png')
    (photos / 'depth/img_002.png').write_bytes(b'')
    options = {'labels': {**TASKS, 'depth': {**DEPTH, 'scale': 1}}, 'allow_missing_labels': True}
    report = check_dataset(photos, dataset_type=FolderMT, options=options)
    found = {(p.kind, Path(p.path).name) for p in report.problems}
    assert found == {
        ('range', 'img_000_mask.png'),
        ('size', 'img_001_mask.png'),
        ('unreadable', 'img_002.png'),
        *(('range', f'img_{i:03d}.png') for i in (0, 1, 3, 4)),  # millimetres said to be metres
    }
    assert any('labels.depth.scale=0.001' in p.message for p in report.problems)


def test_cached_samples_equal_those_from_files(photos, tmp_path):
    options = {**OPTIONS, 'val_share': 0.34}
    prepared = prepare_dataset(
        photos, tmp_path, allow_missing_labels=True, dataset_type=FolderMT, options=options
    )
    assert prepared.counts == {'written': 4 * 2 + 2}
    half = [{'type': 'ResizeSample', 'scale_factor': 0.5}]
    for split, steps in (('train', []), ('train', half), ('val', [])):
        cached, found = samples_of(photos, split, str(prepared.cache), steps)
        assert len(cached.pipeline.transforms) == 1
        _, expected = samples_of(photos, split, None, steps)
        for one, other in zip(found, expected, strict=True):
            assert one['label_keys'] == other['label_keys']
            for key in ('img', *other['label_keys']):
                np.testing.assert_array_equal(one[key], other[key])
                assert one[key].dtype == other[key].dtype
            assert one['task_kinds'] == other['task_kinds']


def test_a_cache_of_other_settings_is_not_used(photos, tmp_path):
    prepared = prepare_dataset(
        photos, tmp_path, allow_missing_labels=True, dataset_type=FolderMT, options=OPTIONS
    )
    labels = {**TASKS, 'depth': {**DEPTH, 'scale': 0.002}}
    dataset = FolderMT(
        str(photos), labels, allow_missing_labels=True, cache=str(prepared.cache), pipeline=LOAD
    )
    assert len(dataset.pipeline.transforms) == 2


def test_a_config_names_its_data_set_for_the_tools(photos, tmp_path):
    path = tmp_path / 'mine.py'
    data = {'type': 'FolderMT', 'labels': TASKS, 'allow_missing_labels': True}
    path.write_text(
        f'data_root = {str(photos)!r}\ndata = {data!r}\ntrain_dataloader = dict(dataset=dict('
        "split='train', pipeline=[dict(type='LoadSampleImage')], **data))\n"
    )
    described = describe_dataset(str(path))
    assert described.root == str(photos)
    assert described.dataset_type == 'FolderMT'
    assert described.options == {'labels': TASKS, 'allow_missing_labels': True}
    assert describe_dataset('data/PASCAL_MT') == ('data/PASCAL_MT', None, {})
    with pytest.raises(InputError, match='names the class'):
        describe_dataset(str(path), 'NYUDv2MT')


def test_folders_are_joined_if_they_agree_on_units_and_kinds(photos):
    def joined(**changes):
        parts = [
            FolderMT(str(photos), {'masks': MASKS}),
            FolderMT(str(photos), {'depth': DEPTH}),
            FolderMT(str(photos), {'depth': {**DEPTH, **changes}}),
        ]
        return ConcatDataset(parts)

    meta = joined().metainfo
    assert meta['task_kinds'] == {'masks': 'classes', 'depth': 'depth'}
    assert meta['units'] == {'depth': 'm'}
    with pytest.raises(InputError, match="different units of depth: 'm' and 'mm'"):
        joined(unit='mm')
    with pytest.raises(InputError, match="different task_kinds of depth: 'depth' and 'value'"):
        joined(shrinks=False)


SEASONS = {'kind': 'label', 'classes': ['winter', 'spring', 'summer']}


@pytest.fixture
def seasons(photos):
    """Photographs with masks and a season each, the last without."""
    (photos / 'season').mkdir()
    for index, text in enumerate(['summer', ' spring\n', '0', '2', 'winter']):
        (photos / f'season/img_{index:03d}.txt').write_text(text)
    return photos


def test_a_class_of_the_whole_image(seasons):
    steps = [*LOAD, {'type': 'RandomFlipSample', 'prob': 1.0}, {'type': 'PackMultiTaskInputs'}]
    labels = {'masks': MASKS, 'season': SEASONS}
    dataset = FolderMT(
        str(seasons), labels, val_share=0.01, allow_missing_labels=True, pipeline=steps
    )
    assert dataset.metainfo['classes']['season'] == SEASONS['classes']
    assert dataset.metainfo['task_kinds']['season'] == 'label'
    assert 'season' not in dataset.metainfo['palette']
    truth = {'img_000': 2, 'img_001': 1, 'img_002': 0, 'img_003': 2, 'img_004': 0}
    found = {}
    for item, info in zip(dataset, map(dataset.get_data_info, range(len(dataset))), strict=True):
        if 'gt_season' in item['data_samples']:
            found[info['img_id']] = item['data_samples'].gt_season.label.item()
        assert 'gt_masks' in item['data_samples']
    assert found == {name: truth[name] for name in found}
    assert len(found) >= 4


def test_the_check_and_the_cache_take_classes_of_images(seasons, tmp_path):
    options = {'labels': {'masks': MASKS, 'season': SEASONS}, 'allow_missing_labels': True}
    assert check_dataset(seasons, dataset_type=FolderMT, options=options).passed
    plain = FolderMT(str(seasons), pipeline=LOAD, cache=None, **options)
    given = {key: value for key, value in options.items() if key != 'allow_missing_labels'}
    write_cache(FolderMT, seasons, tmp_path / 'cache', 1, True, given)
    cached = FolderMT(str(seasons), pipeline=LOAD, cache=str(tmp_path / 'cache'), **options)
    for one_, other in zip(plain, cached, strict=True):
        assert ('gt_season' in one_) == ('gt_season' in other)
        assert one_.get('gt_season') == other.get('gt_season')
    (seasons / 'season/img_001.txt').write_text('autumn')
    (problem,) = check_dataset(seasons, dataset_type=FolderMT, options=options).problems
    assert problem.path.endswith('season/img_001.txt')
    assert "winter, spring, summer, or a number from 0 to 2, found 'autumn'" in problem.message
