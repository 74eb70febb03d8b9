"""The check of a dataset: each kind of problem is found, with its file, and nothing else is."""

import json
import re
import runpy
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from mmcv.transforms import BaseTransform
from PIL import Image

from mmbmtas.datasets import CachedSteps, MultiTaskDataset, PascalContextMT, Release
from mmbmtas.datasets.cache import LoadCachedSample
from mmbmtas.datasets.cache_writer import write_cache
from mmbmtas.datasets.checking import (
    check,
    check_dataset,
    write_report,
)
from mmbmtas.datasets.finding import find_dataset_class, find_dataset_type
from mmbmtas.datasets.preparing import prepare_dataset
from mmbmtas.errors import InputError
from mmbmtas.reading import RangeError, SizeError
from mmbmtas.registry import DATASETS, TRANSFORMS

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/check_dataset.py'


@pytest.fixture
def pascal(pascal_root, tmp_path):
    return shutil.copytree(pascal_root, tmp_path / 'PASCAL_MT')


@pytest.fixture
def nyud(layouts, tmp_path):
    return layouts.write_nyud(tmp_path / 'NYUD_MT', 'B')


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def only_problem(root):
    (problem,) = check_dataset(root).problems
    return problem


def test_sound_pascal(pascal_root):
    report = check_dataset(pascal_root)
    assert report.passed
    assert report.problems == []
    assert report.packaging == 'PASCAL_MT'
    assert report.splits == {'train': 3, 'val': 3}
    # Three images with label map, parts, normals and saliency; VOC12 holds one more map.
    assert report.opened == 3 * 6 + 1
    voc = report.folders['semseg/VOC12']
    assert (voc.files, voc.listed, voc.without) == (1, 1, 2)
    assert 'train lists 3 ids, the public release 4998' in report.notes
    assert any('3 ids are in both splits' in note for note in report.notes)


def test_sound_nyud(nyud_root):
    packaging = nyud_root.name.split('_')[2][0]
    report = check_dataset(nyud_root)
    assert report.passed
    assert f'packaging {packaging} (' in report.packaging
    assert report.opened == 5 * 5
    assert {count.files for count in report.folders.values()} == {5}


@pytest.mark.parametrize(
    'file',
    [
        'JPEGImages/2008_000002.jpg',
        'semseg/pascal-context/2008_000002.png',
        'sal_distill/2008_000002.png',
        'normals_distill/2008_000002.png',
        'pascal-context/trainval/2008_000002.mat',
        'human_parts/2008_000002.mat',
    ],
)
@pytest.mark.parametrize('damage', ['missing', 'truncated', 'empty'])
def test_missing_and_damaged_files(pascal, file, damage):
    path = pascal / file
    if damage == 'missing':
        path.unlink()
    elif damage == 'truncated':
        truncate(path)
    else:
        path.write_bytes(b'')
    problem = only_problem(pascal)
    assert problem.kind == ('missing' if damage == 'missing' else 'unreadable')
    assert str(path) in problem.path


@pytest.mark.parametrize(
    ('file', 'content', 'kind', 'message'),
    [
        ('human_parts', {'anno': np.ones((3, 3))}, 'unreadable', 'expected a structure anno'),
        ('pascal-context/trainval', {'other': 1}, 'unreadable', 'found variables: other'),
        (
            'pascal-context/trainval',
            {'LabelMap': np.full((37, 51), 460)},
            'range',
            'expected class ids 0 to 459 in LabelMap, found 460',
        ),
        (
            'pascal-context/trainval',
            {'LabelMap': np.ones((37, 50), np.uint16)},
            'size',
            'found (37, 50)',
        ),
    ],
)
def test_matlab_files_of_other_content(pascal, file, content, kind, message):
    path = pascal / file / '2008_000002.mat'
    scipy.io.savemat(path, content)
    problem = only_problem(pascal)
    assert (problem.kind, problem.path) == (kind, str(path))
    assert message in problem.message


def test_parts_of_another_size_and_class(pascal, layouts):
    whole = np.ones((37, 51), np.uint8)
    path = pascal / 'human_parts/2008_000002.mat'
    layouts.save_parts(path, 'x', [(15, whole, [('head', whole[1:])])])
    assert only_problem(pascal).kind == 'size'
    layouts.save_parts(path, 'x', [(21, whole, [])])
    problem = only_problem(pascal)
    assert problem.kind == 'range'
    assert 'expected class_ind 1 to 20, found 21' in problem.message


def test_label_images_of_another_size_and_range(pascal, layouts):
    path = pascal / 'semseg/pascal-context/2008_000002.png'
    layouts.save_palette_png(path, np.full((37, 51), 21))
    assert only_problem(pascal).kind == 'range'
    Image.fromarray(np.zeros((30, 51), np.uint8)).save(path)
    assert only_problem(pascal).kind == 'size'


def test_labels_of_an_unreadable_image_are_opened_nevertheless(pascal):
    truncate(pascal / 'JPEGImages/2008_000001.jpg')
    truncate(pascal / 'sal_distill/2008_000001.png')
    assert [p.kind for p in check_dataset(pascal).problems] == ['unreadable'] * 2


@pytest.mark.parametrize(
    ('file', 'change', 'message'),
    [
        ('depth', -1.0, 'expected depth of 0 or more metres, or NaN, found -1'),
        ('depth', np.inf, 'found inf'),
        ('normals', 1.5, 'expected normals in [-1, 1], found 1.5'),
        ('edge', 0.5, 'expected edges of 0 and 1, or of 0 and 255, found 0.5'),
    ],
)
def test_nyud_values_out_of_range(nyud, file, change, message):
    path = nyud / file / '0001.npy'
    array = np.load(path)
    array[5, 5] = change
    np.save(path, array)
    problem = only_problem(nyud)
    assert (problem.kind, problem.path) == ('range', str(path))
    assert message in problem.message


@pytest.mark.parametrize('file', ['depth', 'normals'])
def test_unknown_values_are_no_problem(nyud, file):
    path = nyud / file / '0001.npy'
    array = np.load(path)
    array[5, 5], array[6, 6] = np.nan, 0
    np.save(path, array)
    assert check_dataset(nyud).passed


@pytest.mark.parametrize('file', ['depth', 'edge', 'normals'])
def test_arrays_without_pixels(nyud, file):
    np.save(nyud / file / '0001.npy', np.zeros((0, 0, 3) if file == 'normals' else (0, 0)))
    assert only_problem(nyud).kind == 'size'


def test_nyud_classes_and_edges_of_images(layouts, tmp_path):
    root = layouts.write_nyud(tmp_path, 'A')
    scipy.io.savemat(root / 'segmentation/0001.mat', {'segmentation': np.full((35, 44), 41)})
    Image.fromarray(np.full((35, 44), 7, np.uint8)).save(root / 'edge/0002.png')
    scipy.io.savemat(root / 'depth/9001.mat', {'depth': np.zeros((0, 0))})
    found = {Path(p.path).stem: (p.kind, p.message) for p in check_dataset(root).problems}
    assert found['0001'] == ('range', 'expected classes 0 to 40 or 255, found 41')
    message = 'expected a mask of 0 and 1, or of 0 and 255, found the values 7'
    assert found['0002'] == ('range', f'{message}, so the foreground is unclear')
    assert found['9001'][0] == 'size'


def test_lists_of_ids(nyud):
    train = nyud / 'gt_sets/train.txt'
    train.write_text('0001\n0001\nabsent\n../0002\n')
    (nyud / 'gt_sets/val.txt').write_text('\n')
    report = check_dataset(nyud)
    messages = [p.message for p in report.problems if p.kind == 'split']
    assert messages == [
        "lists '0001' 2 times",
        "'../0002' cannot name a file",
        'expected one id per line, found none',
    ]
    missing = [p for p in report.problems if p.kind == 'missing']
    assert len(missing) == 5
    assert "expected the image of 'absent', which a split lists" in [p.message for p in missing]
    train.unlink()
    assert any(p.path == str(train) for p in check_dataset(nyud).problems if p.kind == 'missing')


def test_ids_of_both_splits(nyud):
    """A few of them are a leak; splits that are the same are somebody's intent, and noted."""
    lists = nyud / 'gt_sets/train.txt', nyud / 'gt_sets/val.txt'
    lists[1].write_text('9001\n9002\n0002\n')
    problem = only_problem(nyud)
    assert (problem.kind, problem.path) == ('split', str(lists[1]))
    assert '1 ids are in the other split, too, such as 0002' in problem.message
    lists[1].write_bytes(lists[0].read_bytes())
    report = check_dataset(nyud)
    assert report.passed
    assert '3 ids are in both splits, such as 0001' in report.notes


@pytest.mark.parametrize(('unit', 'sound'), [(1, True), (1000, False), (100, False)])
def test_depth_in_other_units(layouts, tmp_path, unit, sound):
    """The layout has depth of 0.7 to 9.9 metres."""
    root = layouts.write_nyud(tmp_path, 'C')
    path = root / 'depth/0001.npy'
    np.save(path, np.round(np.load(path) * unit, 1))
    problems = check_dataset(root).problems
    assert [p.path for p in problems] == [str(path)] * (not sound)
    assert all('expected depth in metres, found a median of' in p.message for p in problems)


@pytest.mark.parametrize(('orientation', 'fits'), [(1, True), (3, True), (6, False)])
def test_turned_images(nyud, orientation, fits):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = nyud / 'images/0001.jpg'
    Image.open(path).save(path, exif=exif)
    report = check_dataset(nyud)
    told = [note for note in report.notes if f'EXIF data, such as {path}' in note]
    assert len(told) == (orientation > 1)
    # A quarter turn leaves labels of the wrong size; half a turn only the eye can tell.
    assert {problem.kind for problem in report.problems} == (set() if fits else {'size'})


def test_list_of_people_that_does_not_fit(pascal):
    path = pascal / 'ImageSets/Parts/train.txt'
    path.parent.mkdir(exist_ok=True)
    content = {'2008_000001': [8, 15, 15], '2008_000002': [15], '2008_000003': [15]}
    path.write_text(json.dumps(content))
    problem = only_problem(pascal)
    assert (problem.kind, problem.path) == ('split', str(path))
    assert "classes [15] in '2008_000002', " in problem.message
    assert 'has [8]: delete this list' in problem.message
    path.write_text(json.dumps({**content, '2008_000002': [8]}))
    assert check_dataset(pascal).passed


def test_masks_of_two_forms(layouts, tmp_path):
    root = layouts.write_nyud(tmp_path, 'A')
    path = root / 'edge/0002.png'
    Image.fromarray(np.asarray(Image.open(path)) // 255).save(path)
    report = check_dataset(root)
    assert report.passed
    assert any(f'1 masks hold 0 and 1, such as {path}, and 4 hold' in n for n in report.notes)


def test_folder_of_neither_dataset(tmp_path, pascal_root):
    expected = r'is no NYUD_MT folder \(with gt_sets\) and no PASCAL_MT folder'
    with pytest.raises(ValueError, match=expected):
        find_dataset_type(tmp_path)
    (tmp_path / 'NYUD_MT').mkdir()
    with pytest.raises(ValueError, match=r'did you mean .*NYUD_MT\?'):
        check_dataset(tmp_path)


def test_processes_and_report(pascal, tmp_path):
    truncate(pascal / 'sal_distill/2008_000001.png')
    (pascal / 'human_parts/2008_000003.mat').unlink()
    report = check_dataset(pascal, jobs=2)
    assert report == check_dataset(pascal)
    json_file, text_file = write_report(report, tmp_path / 'out/found')
    content = json.loads(json_file.read_text())
    assert content['passed'] is False
    assert [p['kind'] for p in content['problems']] == ['missing', 'unreadable']
    text = text_file.read_text()
    assert '2 problems (1 missing, 1 unreadable)' in text
    assert f'  {pascal}/sal_distill/2008_000001.png: expected a readable label image' in text
    assert sorted(p.name for p in text_file.parent.iterdir()) == ['found.json', 'found.txt']


def test_interrupt_keeps_what_was_found(pascal, monkeypatch):
    truncate(pascal / 'sal_distill/2008_000001.png')
    original = check.check_sample

    def interrupted(loader, files):
        if files.img_id == '2008_000003':
            raise KeyboardInterrupt
        return original(loader, files)

    monkeypatch.setattr(check, 'check_sample', interrupted)
    report = check_dataset(pascal)
    assert report.interrupted
    assert not report.passed
    assert len(report.problems) == 1


@pytest.mark.parametrize(('damaged', 'status'), [(False, 0), (True, 1)])
def test_command_line(pascal, tmp_path, monkeypatch, capsys, damaged, status):
    if damaged:
        truncate(pascal / 'sal_distill/2008_000001.png')
    monkeypatch.setattr('signal.signal', lambda *_: None)
    words = [str(TOOL), str(pascal), '--report', str(tmp_path / 'report.json')]
    monkeypatch.setattr(sys, 'argv', words)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert end.value.code == status
    shown = capsys.readouterr()
    assert ('no problem' in shown.out) is not damaged
    assert 'note: 3 ids are in both splits' in shown.out
    assert re.fullmatch(r'checking images: 3/3 in \S+\n', shown.err)
    assert json.loads((tmp_path / 'report.json').read_text())['passed'] is not damaged


class Own(MultiTaskDataset):
    """A user's data set, as the base class asks for it."""

    TASKS = ('depth',)

    def id_file(self):
        return Path(self.data_root, f'{self.split}.txt')

    def sample_files(self, ids):
        return [{'img': [f'{name}.png'], 'depth': [f'{name}.npy']} for name in ids]


class OwnLoader(BaseTransform):
    """Reads what :class:`Own` lists."""

    def transform(self, results):
        depth = np.load(results['label_paths']['depth'])
        if depth.shape != results['ori_shape']:
            raise SizeError(f'{depth.shape}, expected {results["ori_shape"]}')
        return {**results, 'gt_depth': depth, 'label_keys': ['gt_depth']}


def refuse_tall(path):
    highest = np.load(path).max()
    if highest > 8849:
        raise RangeError(f'{path}: expected at most 8849 m, found {highest:g}')


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of the user's data, and the loader of its labels."""
    for split in ('train', 'val'):
        (tmp_path / f'{split}.txt').write_text(f'{split}_0')
        Image.new('RGB', (4, 3)).save(tmp_path / f'{split}_0.png')
        np.save(tmp_path / f'{split}_0.npy', np.ones((3, 4), np.float32))
    monkeypatch.setattr(Own, 'RELEASE', Release('OwnLoader'))
    monkeypatch.setitem(TRANSFORMS.module_dict, 'OwnLoader', OwnLoader)
    monkeypatch.setitem(DATASETS.module_dict, 'Own', Own)
    return tmp_path


class TestDatasetsOfUsers:
    def test_one_that_says_how_its_labels_are_read(self, own):
        report = check_dataset(own, dataset_type=find_dataset_class('Own'))
        assert report.passed
        assert (report.dataset, report.opened, report.notes) == ('Own', 4, [])
        np.save(own / 'val_0.npy', np.ones((2, 2), np.float32))
        (problem,) = check_dataset(own, dataset_type=Own).problems
        assert (problem.kind, Path(problem.path).name) == ('size', 'val_0.npy')

    def test_one_that_does_not_is_told_what_is_missing(self, own, monkeypatch):
        monkeypatch.setattr(Own, 'RELEASE', None)
        with pytest.raises(InputError, match=r'Own cannot be checked: .* in RELEASE'):
            check_dataset(own, dataset_type=Own)

    def test_one_that_derives_from_a_release(self, pascal_root):
        class Mine(PascalContextMT):
            pass

        report = check_dataset(pascal_root, dataset_type=Mine)
        assert (report.passed, report.dataset, report.opened) == (True, 'Mine', 3 * 6 + 1)

    def test_one_that_names_its_checks_and_its_cache(self, own, monkeypatch):
        """All that the releases of the field can, with code outside the package."""
        release = Release(
            {'type': 'OwnLoader'},
            marks=('mine',),
            sizes={'train': 2},
            checks={'depth': refuse_tall},
            cached={'full': CachedSteps()},
        )
        monkeypatch.setattr(Own, 'RELEASE', release)
        (own / 'mine').mkdir()
        assert find_dataset_type(own) is Own
        report = check_dataset(own)
        assert report.notes == ['train lists 1 ids, the public release 2']
        np.save(own / 'val_0.npy', np.full((3, 4), 9000, np.float32))
        (problem,) = check_dataset(own).problems
        assert (problem.kind, problem.message) == ('range', 'expected at most 8849 m, found 9000')
        np.save(own / 'val_0.npy', np.full((3, 4), 8849, np.float32))
        assert prepare_dataset(own, own / 'out').counts == {'written': 2}
        pipeline = [{'type': 'LoadSampleImage'}, {'type': 'OwnLoader'}]
        cached = Own(
            str(own), 'val', pipeline=pipeline, cache=str(own / 'out' / f'{own.name}.cache')
        )
        assert cached[0]['gt_depth'].max() == 8849
        (step,) = cached.pipeline.transforms
        assert isinstance(step, LoadCachedSample)

    def test_an_archive_of_one(self, own, tmp_path, monkeypatch):
        (own / 'mine').mkdir()
        archive = tmp_path / 'mine.tgz'
        with tarfile.open(archive, 'w:gz') as tar:
            for path in own.iterdir():
                if path != archive:
                    tar.add(path, f'whatever/{path.name}')
        with pytest.raises(InputError, match=r'RELEASE names no folders \(marks\)'):
            prepare_dataset(archive, tmp_path / 'out', dataset_type=Own)
        release = Release('OwnLoader', 'OWN', marks=('mine',), cached={'full': CachedSteps()})
        monkeypatch.setattr(Own, 'RELEASE', release)
        prepared = prepare_dataset(archive, tmp_path / 'out', dataset_type=Own)
        assert (prepared.root, prepared.counts) == (tmp_path / 'out' / 'OWN', {'written': 2})

    def test_one_that_cannot_be_cached(self, own, tmp_path):
        for work in (
            lambda: write_cache(Own, own, tmp_path / 'cache'),
            lambda: prepare_dataset(own, tmp_path / 'out', dataset_type=Own),
        ):
            with pytest.raises(InputError, match=r'Own cannot be cached: .* in RELEASE'):
                work()
        assert not (tmp_path / 'cache').exists()

    @pytest.mark.parametrize('name', ['Nowhere', 'no.such.Class', 'mmengine.dataset.BaseDataset'])
    def test_other_classes(self, name):
        with pytest.raises(InputError, match=f'{name} is not a data set that can be checked'):
            find_dataset_class(name)
