"""Exercise: a third data set is checked, cached and trained, by the tools and code of its own."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from PIL import Image

from mmbmtas.datasets import CachedSteps, MultiTaskDataset, Release
from mmbmtas.datasets.cache import LoadCachedSample
from mmbmtas.reading import RangeError, SizeError
from mmbmtas.registry import DATASETS, TRANSFORMS

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'


class LoadHeights(BaseTransform):
    """Reads classes and heights of the ground in metres."""

    def transform(self, results):
        results.setdefault('label_keys', [])
        for task, path in results['label_paths'].items():
            label = np.load(path).astype(np.uint8 if task == 'semseg' else np.float32)
            if label.shape != results['ori_shape']:
                raise SizeError(f'{path}: {label.shape}, expected {results["ori_shape"]}')
            results[f'gt_{task}'] = label
            results['label_keys'].append(f'gt_{task}')
        return results


class Doubled(BaseTransform):
    """A step without chance, with a setting."""

    def __init__(self, factor):
        self.factor = factor

    def transform(self, results):
        results['gt_depth'] = results['gt_depth'] * self.factor
        return results


def refuse_mountains(path):
    if np.load(path).max() > 8849:
        raise RangeError(f'{path}: higher than Mount Everest')


class Heights(MultiTaskDataset):
    TASKS = ('semseg', 'depth')
    METAINFO = {'classes': {'semseg': ['ground', 'building']}}  # noqa: RUF012
    RELEASE = Release(
        'LoadHeights',
        name='HEIGHTS',
        marks=('terrain',),
        sizes={'train': 4, 'val': 2},
        checks={'depth': refuse_mountains},
        cached={
            'train': CachedSteps(('train',), ({'type': 'Doubled', 'factor': 2.0},)),
            'val': CachedSteps(('val',)),
        },
    )

    def id_file(self):
        return Path(self.data_root, f'{self.split}.txt')

    def sample_files(self, ids):
        return [
            {
                'img': [f'images/{i}.png'],
                **{task: [f'terrain/{i}.{task}.npy'] for task in self.tasks},
            }
            for i in ids
        ]


@pytest.fixture
def root(tmp_path, monkeypatch):
    for registry, kind in ((DATASETS, Heights), (TRANSFORMS, LoadHeights), (TRANSFORMS, Doubled)):
        monkeypatch.setitem(registry.module_dict, kind.__name__, kind)
    root = tmp_path / 'mine'
    for folder in ('images', 'terrain'):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, number in (('train', 4), ('val', 2)):
        ids = [f'{split}{i}' for i in range(number)]
        (root / f'{split}.txt').write_text('\n'.join(ids))
        for i in ids:
            Image.fromarray(rng.integers(255, size=(32, 32, 3), dtype=np.uint8)).save(
                root / f'images/{i}.png'
            )
            np.save(root / f'terrain/{i}.semseg.npy', rng.integers(2, size=(32, 32)))
            np.save(root / f'terrain/{i}.depth.npy', rng.uniform(1, 9, (32, 32)))
    return root


def tool(monkeypatch, name, *words):
    monkeypatch.setattr('signal.signal', lambda *_: None)
    monkeypatch.setattr(sys, 'argv', [name, *map(str, words)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOLS / name), run_name='__main__')
    return end.value.code


def test_its_folder_tells_it_and_its_checks_are_made(root, tmp_path, monkeypatch, capsys):
    report = tmp_path / 'report.json'
    assert tool(monkeypatch, 'check_dataset.py', root, '--report', report) == 0
    assert 'HEIGHTS' in capsys.readouterr().out
    np.save(root / 'terrain/val1.depth.npy', np.full((32, 32), 9000.0))
    np.save(root / 'terrain/val0.semseg.npy', np.zeros((8, 8)))
    assert tool(monkeypatch, 'check_dataset.py', root, '--report', report) == 1
    said = capsys.readouterr().out
    assert 'higher than Mount Everest' in said
    assert 'val0.semseg.npy: (8, 8), expected (32, 32)' in said


PIPELINE = [{'type': 'LoadSampleImage'}, {'type': 'LoadHeights'}]
REST = [{'type': 'RandomFlipSample'}, {'type': 'PackMultiTaskInputs'}]


def train_set(root, cache):
    pipeline = [*PIPELINE, {'type': 'Doubled', 'factor': 2.0}, *REST]
    return Heights(str(root), pipeline=pipeline, cache=cache)


def test_it_is_cached_and_trained(root, tmp_path, monkeypatch, make_runner, toys):
    assert tool(monkeypatch, 'prepare_dataset.py', root, tmp_path) == 0
    cached, plain = (train_set(root, cache) for cache in ('auto', None))
    for index in range(4):
        pair = []
        for dataset in (plain, cached):
            np.random.seed(index)
            pair.append(dataset[index])
        assert torch.equal(pair[0]['inputs'], pair[1]['inputs'])
        for task in ('semseg', 'depth'):
            one, other = (sample['data_samples'].get(f'gt_{task}').data for sample in pair)
            assert torch.equal(one, other)
    assert isinstance(cached.pipeline.transforms[0], LoadCachedSample)
    # Another setting of a step is another step: the files are read.
    other = Heights(
        str(root), pipeline=[*PIPELINE, {'type': 'Doubled', 'factor': 3.0}], cache='auto'
    )
    other[0]
    assert not isinstance(other.pipeline.transforms[0], LoadCachedSample)

    model = toys.branched_config(('semseg', 'depth'))
    runner = make_runner(
        tmp_path / 'work',
        model,
        {'type': 'IterBasedTrainLoop', 'max_iters': 2},
        {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 1e-3}},
        dataset=cached,
    )
    runner.train()
    trained = {key.partition('.')[0] for key in runner.message_hub.log_scalars}
    assert {'train/semseg', 'train/depth'} <= trained
