"""The datasets: what they list, check, cache and complain about."""

import json
import os
import shutil

import numpy as np
import pytest

from mmbmtas.datasets import NYUDv2MT, PascalContextMT
from mmbmtas.datasets import pascal_context as pascal_context_module


@pytest.fixture
def pascal_copy(pascal_root, tmp_path):
    return shutil.copytree(
        pascal_root, tmp_path / 'PASCAL_MT', ignore=shutil.ignore_patterns('Parts')
    )


def test_pascal_lists_its_images_and_labels(pascal_root):
    dataset = PascalContextMT(str(pascal_root), split='val')
    assert len(dataset) == 3
    assert dataset.metainfo['tasks'] == ('semseg', 'human_parts', 'saliency', 'normals', 'edge')
    assert len(dataset.metainfo['classes']['semseg']) == 21
    assert len(dataset.metainfo['palette']['human_parts']) == 7
    first = dataset.get_data_info(0)
    assert first['img_path'].endswith('JPEGImages/2008_000001.jpg')
    # VOC12 wins where both maps exist.
    assert first['label_paths']['semseg'].endswith('semseg/VOC12/2008_000001.png')
    second = dataset.get_data_info(1)
    assert second['label_paths']['semseg'].endswith('semseg/pascal-context/2008_000002.png')
    assert [dataset.get_data_info(i)['has_people'] for i in range(3)] == [True, False, True]


def test_human_parts_alone_drops_images_without_people(pascal_root):
    dataset = PascalContextMT(str(pascal_root), tasks=['human_parts'])
    ids = [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))]
    assert ids == ['2008_000001', '2008_000003']


@pytest.mark.parametrize(
    ('tasks', 'labels'),
    [
        (['semseg'], {'semseg'}),
        (['edge'], {'label_map'}),
        (['normals'], {'normals', 'label_map'}),
        (['saliency', 'human_parts'], {'saliency', 'human_parts'}),
    ],
)
def test_only_files_of_the_tasks_are_needed(pascal_root, tasks, labels):
    dataset = PascalContextMT(str(pascal_root), tasks=tasks)
    assert set(dataset.get_data_info(0)['label_paths']) == labels


def test_parts_cache_is_written_and_used(pascal_copy, monkeypatch):
    cache = pascal_copy / 'ImageSets/Parts/train.txt'
    assert not cache.exists()
    PascalContextMT(str(pascal_copy))
    assert json.loads(cache.read_text()) == {
        '2008_000001': [8, 15, 15],
        '2008_000002': [8],
        '2008_000003': [15],
    }
    assert [p.name for p in cache.parent.iterdir()] == ['train.txt']
    monkeypatch.setattr(pascal_context_module, 'read_object_classes', pytest.fail)
    PascalContextMT(str(pascal_copy))


@pytest.mark.parametrize('stale', ['{"2008_000001": [15]}', '{broken', '[1, 2]'])
def test_stale_parts_cache_is_rebuilt(pascal_copy, stale):
    cache = pascal_copy / 'ImageSets/Parts/train.txt'
    cache.parent.mkdir(parents=True)
    cache.write_text(stale)
    dataset = PascalContextMT(str(pascal_copy), tasks=['human_parts'])
    assert len(dataset) == 2
    assert json.loads(cache.read_text())['2008_000002'] == [8]


def test_annotations_newer_than_the_parts_cache_are_read_again(pascal_copy, layouts):
    PascalContextMT(str(pascal_copy))
    people = layouts.people(layouts.PASCAL_SIZES['2008_000002'])
    path = pascal_copy / 'human_parts/2008_000002.mat'
    layouts.save_parts(path, '2008_000002', people)
    cache = pascal_copy / 'ImageSets/Parts/train.txt'
    later = cache.stat().st_mtime + 5
    os.utime(path, (later, later))
    dataset = PascalContextMT(str(pascal_copy), tasks=['human_parts'])
    assert len(dataset) == 3
    assert json.loads(cache.read_text())['2008_000002'] == [8, 15, 15]


def test_parts_cache_stays_in_memory_on_a_read_only_folder(pascal_copy, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError('read-only file system')

    monkeypatch.setattr(pascal_context_module, 'written_beside', refuse)
    messages = []
    monkeypatch.setattr(
        pascal_context_module, 'print_log', lambda text, *_, **__: messages.append(text)
    )
    assert len(PascalContextMT(str(pascal_copy), tasks=['human_parts'])) == 2
    assert 'kept only in memory' in messages[-1]
    assert not (pascal_copy / 'ImageSets/Parts/train.txt').exists()


def test_missing_files_are_counted_and_named(pascal_copy):
    shutil.rmtree(pascal_copy / 'sal_distill')
    for file in (pascal_copy / 'semseg').rglob('*.png'):
        file.unlink()
    with pytest.raises(FileNotFoundError) as error:
        PascalContextMT(str(pascal_copy))
    message = str(error.value)
    assert '6 files of the train split are missing' in message
    assert 'semseg/VOC12/2008_000001.png or semseg/pascal-context/2008_000001.png' in message
    assert 'sal_distill/2008_000001.png' in message
    assert 'and 1 more' in message


def test_lazy_init_looks_at_nothing(tmp_path):
    dataset = PascalContextMT(str(tmp_path / 'nowhere'), lazy_init=True)
    with pytest.raises(FileNotFoundError, match=r'no list of ids at .*Context/train\.txt'):
        dataset.full_init()


def test_empty_list_of_ids(pascal_copy):
    (pascal_copy / 'ImageSets/Context/train.txt').write_text('\n')
    with pytest.raises(ValueError, match='expected one id per line, found none'):
        PascalContextMT(str(pascal_copy))


@pytest.mark.parametrize('tasks', [['depth'], [], ['semseg', 'semseg']])
def test_unknown_tasks(tasks):
    with pytest.raises(
        ValueError, match='tasks of PascalContextMT must be distinct names out of semseg'
    ):
        PascalContextMT('x', tasks=tasks, lazy_init=True)


def test_unknown_split():
    with pytest.raises(ValueError, match="split must be 'train' or 'val', got 'test'"):
        NYUDv2MT('x', split='test', lazy_init=True)


def test_indices_keep_a_part(pascal_root):
    assert len(PascalContextMT(str(pascal_root), indices=2)) == 2


@pytest.mark.parametrize('packaging', 'ABC')
def test_nyud_says_which_packaging_it_found(layouts, tmp_path, packaging, monkeypatch):
    from mmbmtas.datasets import nyudv2

    messages = []
    monkeypatch.setattr(nyudv2, 'print_log', lambda text, **_: messages.append(text))
    root = layouts.write_nyud(tmp_path, packaging)
    assert len(NYUDv2MT(str(root), split='train')) == 3
    assert len(NYUDv2MT(str(root), split='val')) == 2
    assert f'packaging {packaging} found' in messages[0]
    NYUDv2MT(str(root), tasks=['depth'])
    # Images and depth alone tell the packagings apart, too.
    assert f'packaging {packaging} found' in messages[-1]
    NYUDv2MT(str(root), tasks=['semseg'])
    assert f'packaging {packaging} found' in messages[-1]


def test_nyud_with_a_missing_file_names_all_its_possible_endings(layouts, tmp_path):
    root = layouts.write_nyud(tmp_path, 'B')
    shutil.rmtree(root / 'edge')
    os.remove(root / 'depth/0002.npy')
    with pytest.raises(FileNotFoundError, match='4 files of the train split') as error:
        NYUDv2MT(str(root))
    assert 'edge/0001.png or edge/0001.npy' in str(error.value)
    assert '  depth/0002.npy\n' in str(error.value) + '\n'


def test_nyud_classes():
    classes = NYUDv2MT.METAINFO['classes']['semseg']
    assert len(classes) == len(set(classes)) == 40
    assert (classes[0], classes[19], classes[-1]) == ('wall', 'floor mat', 'otherprop')


def test_serialized_samples_survive_workers(nyud_root):
    from torch.utils.data import DataLoader

    dataset = NYUDv2MT(
        str(nyud_root),
        pipeline=[
            {'type': 'LoadSampleImage'},
            {'type': 'LoadNYUDv2Labels'},
            {'type': 'PackMultiTaskInputs'},
        ],
    )
    batch = next(iter(DataLoader(dataset, batch_size=3, num_workers=1, collate_fn=list)))
    assert np.array_equal(batch[2]['inputs'], dataset[2]['inputs'])
