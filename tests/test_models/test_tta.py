"""Test-time augmentation: what averaging over views must give, whatever the network."""

import copy

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn import functional as F

from mmbmtas import launch
from mmbmtas.datasets.transforms import PackMultiTaskInputs, PadToSize, ViewImage
from mmbmtas.errors import InputError
from mmbmtas.models.segmentors import MultiTaskTTAModel
from mmbmtas.registry import TRANSFORMS

TASKS = ('semseg', 'saliency', 'normals', 'depth')
FLIPS = [{'flip': False}, {'flip': True}]


def sample(height=36, width=52, seed=0):
    """An image and labels of its size."""
    rng = np.random.default_rng(seed)
    return {
        'img': rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        'ori_shape': (height, width),
        'img_shape': (height, width),
        'gt_semseg': rng.integers(0, 21, (height, width), dtype=np.uint8),
        'label_keys': ['gt_semseg'],
    }


def views(sample, *options):
    """Collate the views of one image as `mmcv.TestTimeAug` and the loader do."""
    cfg = {
        'type': 'mmcv.TestTimeAug',
        'transforms': [
            [{'type': 'mmbmtas.ViewImage', **view} for view in options],
            [{'type': 'mmbmtas.PadToSize', 'divisor': 16, 'pad_labels': False}],
            [{'type': 'mmbmtas.PackMultiTaskInputs'}],
        ],
    }
    return pseudo_collate([TRANSFORMS.build(cfg)(copy.deepcopy(sample))])


def plain(sample):
    """The same image as `tools/test.py` packs it without augmentation."""
    for transform in (PadToSize(divisor=16, pad_labels=False), PackMultiTaskInputs()):
        sample = transform(sample)
    return pseudo_collate([sample])


def follow(inputs, batch_data_samples=None):
    """Maps that follow a mirrored image: functions of each pixel, and a slope that turns round."""
    weights = torch.randn(21, 3, generator=torch.Generator().manual_seed(0))
    kernels = {'semseg': weights, 'saliency': weights[:1], 'depth': weights[1:2]}
    padded = F.pad(inputs[:, :1], (1, 1, 0, 0), mode='replicate')
    slope = padded[..., 2:] - padded[..., :-2]
    return {
        **{task: torch.einsum('oc,nchw->nohw', w, inputs) for task, w in kernels.items()},
        'normals': torch.cat([slope, inputs[:, 1:2], inputs[:, 2:] + 3], dim=1),
    }


@pytest.fixture(scope='module', autouse=True)
def scope():
    init_default_scope('mmbmtas')


@pytest.fixture
def model(toys):
    config = toys.branched_config(TASKS)
    config['data_preprocessor'] = {
        'type': 'mmengine.ImgDataPreprocessor',
        'mean': [127.5] * 3,
        'std': [127.5] * 3,
        'bgr_to_rgb': True,
    }
    return toys.build(config).eval()


@pytest.fixture
def equivariant(model):
    """The same network with maps that follow a mirrored image."""
    model.encode_decode = follow
    return model


def predictions(sample):
    return {task: sample.get(f'pred_{task}').data for task in TASKS}


def test_an_equivariant_network_gives_the_same_mirrored_or_not(equivariant):
    with torch.no_grad():
        (expected,) = equivariant.test_step(plain(sample()))
        (found,) = MultiTaskTTAModel(equivariant).test_step(views(sample(), *FLIPS))
        (mirrored,) = MultiTaskTTAModel(equivariant).test_step(views(sample(), FLIPS[1]))
    for task, prediction in predictions(expected).items():
        torch.testing.assert_close(predictions(found)[task], prediction, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(predictions(mirrored)[task], prediction, atol=1e-5, rtol=1e-5)


def test_one_view_as_it_is_changes_nothing(model):
    with torch.no_grad():
        (expected,) = model.test_step(plain(sample()))
        (found,) = MultiTaskTTAModel(model).test_step(views(sample(), {}))
    for task, prediction in predictions(expected).items():
        torch.testing.assert_close(predictions(found)[task], prediction)
    assert found.gt_semseg.data.shape == (1, 36, 52)
    assert found.metainfo['ori_shape'] == (36, 52)


def test_the_average_is_taken_before_the_decision(model):
    """Against a mean over views that are predicted one by one, with mirrored arrays."""
    image = sample()
    mirrored = {**image, 'img': image['img'][:, ::-1]}
    with torch.no_grad():
        (found,) = MultiTaskTTAModel(model).test_step(views(image, *FLIPS))
        maps = []
        for each in (image, mirrored):
            data = model.data_preprocessor(plain({**each, 'label_keys': []}))
            maps.append(next(iter(model.predict_maps(data['inputs'], data['data_samples']))))
    first, second = (
        {t: m.flip(-1) if i else m for t, m in each.items()} for i, each in enumerate(maps)
    )
    classes = (first['semseg'].softmax(0) + second['semseg'].softmax(0)).argmax(0)
    assert torch.equal(found.pred_semseg.data[0], classes)
    mean = (first['saliency'].sigmoid() + second['saliency'].sigmoid()) / 2
    torch.testing.assert_close(found.pred_saliency.data, mean)
    torch.testing.assert_close(found.pred_depth.data, (first['depth'] + second['depth']) / 2)
    sign = torch.tensor([-1.0, 1, 1])[:, None, None]
    units = F.normalize(first['normals'], dim=0) + sign * F.normalize(second['normals'], dim=0)
    torch.testing.assert_close(found.pred_normals.data, F.normalize(units, dim=0))


def test_depth_seen_at_another_scale_is_that_far(equivariant):
    """Twice as large looks half as far: a constant map is multiplied by the scale."""

    def constant(inputs, batch_data_samples=None):
        return follow(inputs) | {'depth': torch.full((len(inputs), 1, *inputs.shape[2:]), 3.0)}

    equivariant.encode_decode = constant
    options = [{'scale_factor': scale} for scale in (0.5, 1.0, 2.0)]
    with torch.no_grad():
        (found,) = MultiTaskTTAModel(equivariant).test_step(views(sample(), *options))
    expected = torch.full((1, 36, 52), 3.0 * (0.5 + 1 + 2) / 3)
    torch.testing.assert_close(found.pred_depth.data, expected)
    assert found.pred_semseg.data.shape == (1, 36, 52)


def mmsegs_views(sample, scale, direction):
    """Views as mmseg's own configs make them, of mmcv's transforms."""
    flip = {'type': 'mmcv.RandomFlip', 'prob': 1.0, 'direction': direction}
    cfg = {
        'type': 'mmcv.TestTimeAug',
        'transforms': [
            [{'type': 'mmcv.Resize', 'scale_factor': scale, 'keep_ratio': True}],
            [{**flip, 'prob': 0.0}, flip],
            [{'type': 'mmbmtas.PackMultiTaskInputs'}],
        ],
    }
    unlabelled = {key: value for key, value in sample.items() if key not in sample['label_keys']}
    return pseudo_collate([TRANSFORMS.build(cfg)({**unlabelled, 'label_keys': []})])


def test_views_of_mmcvs_transforms_count_as_ours(equivariant):
    image = sample(64, 96)
    model = MultiTaskTTAModel(equivariant)
    with torch.no_grad():
        (found,) = model.test_step(mmsegs_views(image, 0.5, 'horizontal'))
        (own,) = model.test_step(views(image, *({'scale_factor': 0.5, **flip} for flip in FLIPS)))
    for task, prediction in predictions(own).items():
        torch.testing.assert_close(predictions(found)[task], prediction, atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match=r"flip_direction 'vertical': expected horizontal"):
        model.test_step(mmsegs_views(image, 0.5, 'vertical'))


@pytest.mark.parametrize('name', ['branched_pascal', 'branched_nyud', 'branched_scenes_r50'])
def test_our_configs_have_views(name, toys):
    cfg = launch.read_config(f'configs/{name}.py')
    launch.use_tta(cfg)
    assert cfg.model.type == 'MultiTaskTTAModel'
    *_, augmentation = cfg.test_dataloader.dataset.pipeline
    built = TRANSFORMS.build(copy.deepcopy(augmentation))
    assert len(built.subroutines) == 6
    view = built({**sample(), 'label_keys': []})
    shapes = {tuple(side % 16 for side in inputs.shape[1:]) for inputs in view['inputs']}
    assert shapes == {(0, 0)}


def test_other_models_and_pipelines_are_refused(model):
    with pytest.raises(InputError, match='MultiTaskTTAModel is for a MultiTaskEncoderDecoder'):
        MultiTaskTTAModel(nn.Module.__new__(_Testable))
    with pytest.raises(InputError, match=r'expected mmcv\.TestTimeAug'):
        MultiTaskTTAModel(model).test_step(plain(sample()))


class _Testable(nn.Module):
    def test_step(self, data):
        return data


@pytest.mark.parametrize(
    'options', [{'scale_factor': 0}, {'scale_factor': float('nan')}, {'flip': 1}]
)
def test_views_that_mean_nothing(options):
    with pytest.raises(InputError, match=f'{next(iter(options))} .*ViewImage'):
        ViewImage(**options)
