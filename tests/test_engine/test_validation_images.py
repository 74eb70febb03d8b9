"""Broken validation images end a training before it begins, and the message names the file."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmbmtas import launch
from mmbmtas.datasets import FolderMT
from mmbmtas.engine.hooks import validation_images_hook
from mmbmtas.engine.hooks.validation_images_hook import ValidationImagesHook

LABELS = {
    'masks': {'kind': 'classes', 'files': 'masks/{stem}_mask.png', 'classes': 'classes.txt'},
    'depth': {'kind': 'value', 'scale': 0.001, 'invalid': 0, 'unit': 'm', 'shrinks': True},
}
PIPELINE = [
    {'type': 'LoadSampleImage'},
    {'type': 'LoadFolderLabels'},
    {'type': 'PackMultiTaskInputs'},
]


@pytest.fixture
def photos(write_photos, tmp_path):
    root = write_photos(tmp_path / 'photos')
    (root / 'val.txt').write_text('img_001\nimg_003\nimg_004\n')
    return root


@pytest.fixture
def begin(photos, caplog):
    """Begin a training that validates on the folder; return what is logged."""
    dataset = FolderMT(
        str(photos),
        LABELS,
        split='val',
        splits={'val': 'val.txt'},
        pipeline=PIPELINE,
        allow_missing_labels=True,
        test_mode=True,
    )

    def run(**options):
        loader = SimpleNamespace(dataset=dataset)
        loop = SimpleNamespace(dataloader=loader)
        logger = logging.getLogger('validation images')
        with caplog.at_level(logging.INFO, logger.name):
            ValidationImagesHook(**options).before_train(
                SimpleNamespace(val_loop=loop, logger=logger)
            )
        return caplog.text

    return run


def spoil_class(photos):
    path = photos / 'masks/img_003_mask.png'
    mask = np.asarray(Image.open(path)).copy()
    mask[5, 7] = 99
    Image.fromarray(mask).save(path)
    return path, '99'


def spoil_image(photos):
    path = photos / 'images/img_004.jpg'
    path.write_bytes(path.read_bytes()[:100])
    return path, 'readable image'


def spoil_size(photos):
    path = photos / 'depth/img_001.png'
    Image.fromarray(np.ones((5, 5), np.uint16)).save(path)
    return path, r'\(5, 5\)'


@pytest.mark.parametrize('spoil', [spoil_class, spoil_image, spoil_size])
def test_the_file_is_named(photos, begin, spoil):
    begin()
    path, what = spoil(photos)
    with pytest.raises(ValueError, match=rf'{path.name}.*{what}|{what}.*{path.name}'):
        begin()


def test_the_training_split_is_left_alone(photos, begin):
    (photos / 'masks/img_000_mask.png').write_bytes(b'broken')
    assert 'validation images were loaded' not in begin()


def test_all_ranks_end(begin, monkeypatch):
    monkeypatch.setattr(
        validation_images_hook, 'all_gather_object', lambda own: [own, 'InputError: a.png: broken']
    )
    with pytest.raises(ValueError, match=r'another rank found .* a\.png: broken'):
        begin()


def test_a_large_set_is_sampled_and_said(begin):
    assert '1 of 3 validation images were loaded' in begin(seconds=0.0)


def test_a_search_has_no_validation():
    ValidationImagesHook().before_train(SimpleNamespace(val_loop=None))


def test_every_runner_looks(scenes_roots, toys, tmp_path, monkeypatch, pytestconfig):
    monkeypatch.chdir(tmp_path)
    cfg = launch.read_config(
        str(pytestconfig.rootpath / 'configs/branched_scenes.py'),
        {
            'max_iters': 2,
            'total_batch_size': 2,
            'tasks': ['semseg', 'edge'],
            'data_root': str(scenes_roots['pascal']),
        },
    )
    encoder = cfg.model.backbone.encoder.to_dict()
    cfg.architecture = toys.random_tree(['semseg', 'edge'], encoder).to_dict()
    hooks = launch.build_runner(cfg).hooks
    assert [h for h in hooks if isinstance(h, ValidationImagesHook)]
