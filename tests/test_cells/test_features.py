"""Cached features: equal to fresh ones, and refused where anything differs."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmbmtas.cells import feature_writer as module
from mmbmtas.cells.backbone import FrozenBackbone
from mmbmtas.cells.feature_writer import _dataset
from mmbmtas.errors import InputError


def test_features_are_those_of_a_fresh_forward_pass(make_search):
    """Of images and of mirror images, to float16; labels are mirrored with them."""
    search = make_search()
    cache, backbone = search.cache, FrozenBackbone(search.cfg)
    assert cache.features.shape[0] == 2 * cache.meta['images'] == 24
    for mirrored in (False, True):
        dataset = _dataset(search.cfg, search.settings, mirrored)
        for index in (0, 7):
            item, row = dataset[index], index + 12 * mirrored
            fresh = backbone([item['inputs']])
            for kept, value in (
                (cache.features, fresh.features),
                (cache.low_level, fresh.low_level),
            ):
                np.testing.assert_allclose(kept[row], value[0].numpy(), rtol=1e-3, atol=1e-4)
            label = item['data_samples'].gt_saliency.data.numpy()
            np.testing.assert_array_equal(cache.labels['gt_saliency'][row], label)
    plain, mirror = (cache.features[row].astype(np.float32) for row in (0, 12))
    assert not np.allclose(plain[..., ::-1], mirror, atol=1e-3)  # features are not just mirrored
    np.testing.assert_array_equal(
        cache.labels['gt_saliency'][0][..., ::-1], cache.labels['gt_saliency'][12]
    )


def test_windows_cut_features_and_labels_alike(make_search):
    cache = make_search().cache
    inputs, samples = cache.training_batch(0, 5)
    assert inputs.features.shape[2:] == (4, 4)
    assert inputs.low_level.shape[2:] == (16, 16)
    assert inputs.shape == (2, 3, 64, 64)
    for place, sample in enumerate(samples):
        image = cache.meta['paths'].index(sample.img_path)
        assert image in cache.trained
        matches = [
            (row, left)
            for row in (image, image + 12)
            for left in (0, 1)
            if np.array_equal(
                cache.features[row][:, :4, left : left + 4], inputs.features[place].half().numpy()
            )
        ]
        (row, left) = matches[0]
        label = cache.labels['gt_saliency'][row][:, :64, 16 * left : 16 * left + 64]
        np.testing.assert_array_equal(sample.gt_saliency.data.numpy(), label)


def test_batches_depend_on_seed_and_iteration_alone(make_search):
    cache = make_search().cache
    one, other = cache.training_batch(3, 7)[0], cache.training_batch(3, 7)[0]
    assert torch.equal(one.features, other.features)
    assert not torch.equal(one.features, cache.training_batch(3, 8)[0].features)
    assert not torch.equal(one.features, cache.training_batch(4, 7)[0].features)


def test_scored_images_are_training_images_that_do_not_train(make_search):
    cache = make_search().cache
    assert len(cache.scored) == 3
    assert not {*cache.scored} & {*cache.trained}
    assert {*cache.scored} | {*cache.trained} == {*range(12)}
    assert all('train' in path or 'JPEGImages' in path for path in cache.meta['paths'])
    found = [s.img_path for _, samples in cache.scoring_batches() for s in samples]
    assert found == [cache.meta['paths'][image] for image in cache.scored]


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (lambda cfg: cfg.model.data_preprocessor.update(mean=[0.0] * 3), 'preprocessing'),
        (lambda cfg: cfg.cell_search.update(max_images=6), 'data'),
        (lambda cfg: cfg.cell_search.pipeline.pop(2), 'pipeline'),
        (lambda cfg: cfg.model.backbone.pop('init_cfg'), 'weights'),
        (lambda cfg: cfg.cell_search.update(low_level=False), 'low_level'),
    ],
)
def test_features_of_other_settings_are_refused(make_search, change, named):
    from mmbmtas.cells.settings import CellSearchSettings

    search = make_search()
    change(search.cfg)
    settings = CellSearchSettings.from_config(search.cfg)
    with pytest.raises(InputError, match=f'features was made with other {named}: choose another'):
        module.write_features(search.cfg, settings, search.folder / 'features', torch.device('cpu'))


def test_a_disk_that_is_too_small_is_told_before(make_search, monkeypatch, tmp_path):
    search = make_search()
    shutil.rmtree(search.folder / 'features')
    monkeypatch.setattr(module.shutil, 'disk_usage', lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r'needs 0.0\d GB, .* has 0.00 GB free; with .*low_level'):
        module.write_features(
            search.cfg, search.settings, search.folder / 'features', torch.device('cpu')
        )
    assert not (search.folder / 'features').exists()


def test_images_of_several_sizes_are_refused(make_search):
    search = make_search(low_level=True)
    shutil.rmtree(search.folder / 'features')
    writer = module._Writer(search.folder, 2, search.settings, None, torch.device('cpu'))
    sample = _dataset(search.cfg, search.settings, False)[0]
    writer._check(sample)
    with pytest.raises(InputError, match=r'expected one size, as PadToSize'):
        writer._check({**sample, 'inputs': sample['inputs'][:, :, :64]})
