"""The training cache: the same samples to the bit, refused when stale, resumed when interrupted."""

import multiprocessing
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mmcv.transforms import BaseTransform
from mmengine.config import Config

from mmbmtas.datasets import CachedSteps, NYUDv2MT, PascalContextMT, cache_writer
from mmbmtas.datasets.cache import LoadCachedSample, default_cache, opening, steps
from mmbmtas.datasets.cache.arrays import decode, encode
from mmbmtas.datasets.cache.sample_file import read_header, read_sample, write_sample
from mmbmtas.datasets.cache.steps import step_name
from mmbmtas.datasets.cache_writer import write_cache
from mmbmtas.datasets.transforms import LoadSampleImage, ResizeSample
from mmbmtas.errors import InputError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'configs/_base_/datasets'


@pytest.fixture(scope='module')
def cached_pascal(layouts, tmp_path_factory):
    root = layouts.write_pascal(tmp_path_factory.mktemp('data') / 'PASCAL_MT')
    write_cache(PascalContextMT, root, default_cache(root))
    return root


@pytest.fixture(scope='module', params='ABC')
def cached_nyud(request, layouts, tmp_path_factory):
    root = layouts.write_nyud(tmp_path_factory.mktemp('data') / 'NYUD_MT', request.param)
    write_cache(NYUDv2MT, root, default_cache(root))
    return root


@pytest.fixture
def pascal(cached_pascal, tmp_path):
    """A copy with its cache, to be changed."""
    shutil.copytree(default_cache(cached_pascal), tmp_path / 'PASCAL_MT.cache')
    return shutil.copytree(cached_pascal, tmp_path / 'PASCAL_MT')


def is_cached(dataset):
    return isinstance(dataset.pipeline.transforms[0], LoadCachedSample)


def assert_same_samples(source, cached):
    assert is_cached(cached)
    assert not is_cached(source)
    for index in range(len(source)):
        pair = []
        for dataset in (source, cached):
            np.random.seed(index)
            pair.append(dataset[index])
        expected, found = pair
        assert expected['inputs'].numpy().tobytes() == found['inputs'].numpy().tobytes()
        expected, found = expected['data_samples'], found['data_samples']
        assert expected.metainfo == found.metainfo
        assert list(expected.keys()) == list(found.keys())
        for key in expected.keys():  # noqa: SIM118
            one, other = expected.get(key).data.numpy(), found.get(key).data.numpy()
            assert one.shape == other.shape
            assert one.tobytes() == other.tobytes(), key


@pytest.mark.parametrize('phase', ['train', 'val'])
@pytest.mark.parametrize(
    'name', ['pascal_context', 'pascal_context_search', 'scenes', 'scenes_search']
)
def test_pascal_samples_are_the_same(cached_pascal, name, phase):
    cfg = Config.fromfile(FOLDER / f'{name}.py')[f'{phase}_dataloader'].dataset
    datasets = [
        PascalContextMT(str(cached_pascal), cfg.split, pipeline=cfg.pipeline, cache=cache)
        for cache in (None, 'auto')
    ]
    assert_same_samples(*datasets)


@pytest.mark.parametrize('phase', ['train', 'val'])
@pytest.mark.parametrize('name', ['nyud', 'nyud_search'])
def test_nyud_samples_are_the_same(cached_nyud, name, phase):
    cfg = Config.fromfile(FOLDER / f'{name}.py')[f'{phase}_dataloader'].dataset
    datasets = [
        NYUDv2MT(str(cached_nyud), cfg.split, pipeline=cfg.pipeline, cache=cache)
        for cache in (None, 'auto')
    ]
    assert_same_samples(*datasets)


@pytest.mark.parametrize('tasks', [['semseg'], ['edge', 'semseg'], ['normals'], ['human_parts']])
@pytest.mark.parametrize('name', ['pascal_context', 'pascal_context_search'])
def test_some_tasks_alone(cached_pascal, name, tasks):
    pipeline = Config.fromfile(FOLDER / f'{name}.py').train_pipeline
    datasets = [
        PascalContextMT(str(cached_pascal), tasks=tasks, pipeline=pipeline, cache=cache)
        for cache in (None, 'auto')
    ]
    assert_same_samples(*datasets)


def test_images_that_lack_labels(layouts, tmp_path):
    root = layouts.write_pascal(tmp_path / 'PASCAL_MT')
    (root / 'sal_distill/2008_000001.png').unlink()
    (root / 'pascal-context/trainval/2008_000002.mat').unlink()
    cache = tmp_path / 'elsewhere'
    write_cache(PascalContextMT, root, cache, allow_missing_labels=True)
    pipeline = Config.fromfile(FOLDER / 'pascal_context_search.py').train_pipeline
    datasets = [
        PascalContextMT(str(root), pipeline=pipeline, allow_missing_labels=True, cache=folder)
        for folder in (None, str(cache))
    ]
    assert_same_samples(*datasets)


def train_set(root, **options):
    pipeline = Config.fromfile(FOLDER / 'pascal_context.py').train_pipeline
    return PascalContextMT(str(root), pipeline=pipeline, **options)


@pytest.mark.parametrize(
    'file',
    [
        'JPEGImages/2008_000001.jpg',
        'semseg/VOC12/2008_000001.png',
        'human_parts/2008_000001.mat',
        'pascal-context/trainval/2008_000001.mat',
    ],
)
def test_stale_sample_is_refused_and_made_again(pascal, file):
    dataset = train_set(pascal)
    os.utime(pascal / file, (10**9, 10**9))
    changed = '/'.join(file.split('/')[-2:])
    with pytest.raises(ValueError, match=rf'2008_000001.sample.*stale \({changed} changed\)'):
        dataset[0]
    assert dataset[1] is not None
    counts = write_cache(PascalContextMT, pascal, default_cache(pascal))
    assert counts == {'replaced': 3, 'kept': 6}
    assert_same_samples(train_set(pascal, cache=None), train_set(pascal))


def test_map_that_comes_to_win_is_noticed(pascal, layouts):
    shape = layouts.PASCAL_SIZES['2008_000002']
    layouts.save_palette_png(pascal / 'semseg/VOC12/2008_000002.png', np.full(shape, 3))
    with pytest.raises(ValueError, match=r'stale \(VOC12/2008_000002.png changed\)'):
        train_set(pascal)[1]


def test_samples_of_another_version_are_made_again(pascal, monkeypatch):
    cache = str(default_cache(pascal))
    for module in (cache_writer, opening, steps):
        monkeypatch.setattr(module, 'VERSION', 99)
    assert not is_cached(train_set(pascal))
    with pytest.raises(ValueError, match=r'is of version 2, not 99: run .*prepare_dataset'):
        train_set(pascal, cache=cache)
    assert write_cache(PascalContextMT, pascal, cache) == {'replaced': 9}
    assert is_cached(train_set(pascal))


def test_incomplete_cache(pascal):
    cache = default_cache(pascal)
    (cache / 'train/2008_000003.sample').unlink()
    assert not is_cached(train_set(pascal))
    with pytest.raises(ValueError, match='does not have 1 of 3 samples, such as 2008_000003'):
        train_set(pascal, cache=str(cache))
    (cache / 'index.json').unlink()
    with pytest.raises(ValueError, match='is not a complete cache: run'):
        train_set(pascal, cache=str(cache))
    (cache / 'train/.2008_000003.sample.killed.part').mkdir()
    assert write_cache(PascalContextMT, pascal, cache) == {'kept': 8, 'written': 1}
    assert not list(cache.rglob('*.part'))
    assert is_cached(train_set(pascal))


def test_no_cache_and_other_pipelines(pascal):
    assert not is_cached(train_set(pascal, cache=None))
    # Another size is not in the cache; without a pipeline there is nothing to replace.
    steps = [{'type': 'LoadSampleImage'}, {'type': 'ResizeSample', 'scale_factor': 0.7}]
    assert not is_cached(PascalContextMT(str(pascal), pipeline=steps))
    assert PascalContextMT(str(pascal)).pipeline.transforms == []


def test_damaged_sample_is_named(pascal):
    path = default_cache(pascal) / 'train/2008_000001.sample'
    content = path.read_bytes()
    for damaged in (b'', b'something else entirely', content[:40], content[:-20]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r'2008_000001.sample: expected a whole file'):
            train_set(pascal)[0]
    # The header of the last one is whole, and the next run finds it nevertheless.
    assert write_cache(PascalContextMT, pascal, default_cache(pascal))['replaced'] == 1


def test_ids_that_lead_elsewhere_are_refused(layouts, tmp_path):
    root = layouts.write_nyud(tmp_path / 'NYUD_MT', 'B')
    layouts.save_text(root / 'gt_sets/val.txt', ['../images/9001'])
    for folder in ('images', 'segmentation', 'edge', 'normals', 'depth'):
        (root / folder / '../images').mkdir(exist_ok=True)
        for file in (root / folder).glob('9001.*'):
            if folder != 'images':
                shutil.copy(file, root / 'images')
    with pytest.raises(ValueError, match=r'ids that can name a file'):
        write_cache(NYUDv2MT, root, tmp_path / 'cache')


def write_slowly(root, cache):
    write = cache_writer.write_sample
    cache_writer.write_sample = lambda *args: (write(*args), time.sleep(0.2))
    write_cache(NYUDv2MT, root, cache, jobs=2)


def test_killed_run_goes_on(layouts, tmp_path):
    root = layouts.write_nyud(tmp_path / 'NYUD_MT', 'B')
    cache = default_cache(root)
    process = multiprocessing.get_context('fork').Process(target=write_slowly, args=(root, cache))
    process.start()
    deadline = time.monotonic() + 60
    while not list(cache.rglob('*.sample')) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join()
    time.sleep(0.5)  # its processes end with it
    done = len(list(cache.rglob('*.sample')))
    assert 0 < done < 8
    assert not (cache / 'index.json').exists()
    assert write_cache(NYUDv2MT, root, cache) == {'kept': done, 'written': 8 - done}


def test_processes_change_nothing(cached_nyud, tmp_path):
    assert write_cache(NYUDv2MT, cached_nyud, tmp_path, jobs=2) == {'written': 8}
    cache = default_cache(cached_nyud)
    for file in cache.rglob('*.sample'):
        assert file.read_bytes() == (tmp_path / file.relative_to(cache)).read_bytes()


@settings(max_examples=60)
@given(
    st.sampled_from([np.uint8, np.uint16, np.float32]).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=2, max_dims=3, max_side=6))
    )
)
def test_coded_arrays_are_exact(array):
    spec, content = encode(array)
    found = decode(spec, np.frombuffer(bytearray(content), np.uint8))
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    found[...] = 1  # what a flip or a tensor needs


@pytest.mark.parametrize('levels', [2, 256, 257, 4000])
def test_floats_of_few_and_many_values(levels):
    rng = np.random.default_rng(0)
    values = rng.normal(size=levels).astype(np.float32)
    array = values[rng.permutation(np.arange(64 * 64 * 3) % levels)].reshape(64, 64, 3)
    spec, content = encode(array)
    assert (spec['tables'] == 3) == (levels <= 256)
    assert decode(spec, np.frombuffer(content, np.uint8)).tobytes() == array.tobytes()


def test_sample_file_gives_what_is_asked_for(tmp_path):
    path = tmp_path / 'x.sample'
    arrays_in = {
        'a': np.arange(12, dtype=np.uint8).reshape(3, 4),
        'b': np.zeros((50, 50), np.float32),
    }
    write_sample(path, {'note': 'kept'}, arrays_in)
    header, found = read_sample(path, ['b', 'absent'])
    assert header['note'] == read_header(path)['note'] == 'kept'
    assert list(found) == ['b']
    assert np.array_equal(found['b'], arrays_in['b'])
    assert path.stat().st_size < 6000
    assert list(tmp_path.iterdir()) == [path]


def test_step_names_tell_types_and_settings():
    class Other(ResizeSample):
        pass

    class Plain(BaseTransform):
        def __init__(self, level):
            self.level = level

        def transform(self, results):
            return results

    assert step_name(LoadSampleImage()) == 'LoadSampleImage'
    assert step_name(ResizeSample(2 / 3)) == f'ResizeSample(scale_factor={2 / 3!r})'
    names = {step_name(t) for t in (ResizeSample(0.5), Other(0.5), Plain(1), Plain(2), print)}
    assert len(names) == 5


class ByFunction(BaseTransform):
    def __init__(self, function):
        self.function = function

    def transform(self, results):
        return self.function(results)


def test_a_step_without_a_text_is_refused(pascal, tmp_path):
    class Mine(PascalContextMT):
        RELEASE = replace(
            PascalContextMT.RELEASE,
            cached={'full': CachedSteps(steps=({'type': ByFunction, 'function': lambda x: x},))},
        )

    with pytest.raises(InputError, match=r'Mine cannot be cached: .*ByFunction.* __repr__'):
        write_cache(Mine, pascal, tmp_path / 'cache')
    assert not (tmp_path / 'cache').exists()
