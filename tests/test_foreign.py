"""Transforms of mmcv and mmseg in our pipelines: refused where they would leave labels behind."""

import mmcv.transforms
import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope, init_default_scope

from mmbmtas.datasets import PascalContextMT
from mmbmtas.engine.runner.train_loader import build_dataset
from mmbmtas.foreign import ImageAlone
from mmbmtas.registry import TRANSFORMS

FLIP = {'type': 'RandomFlip', 'prob': 1.0}


class OwnSettings(mmcv.transforms.RandomFlip):
    """As users write it for other defaults."""

    def __init__(self):
        super().__init__(prob=1.0)


class OwnFlip(mmcv.transforms.RandomFlip):
    """As users write it who know our labels."""

    def _flip(self, results):
        super()._flip(results)
        for key in results['label_keys']:
            results[key] = results[key][:, ::-1]


MOVING = [
    FLIP,
    {'type': 'mmseg.RandomFlip', 'prob': 1.0},
    {'type': mmcv.transforms.RandomFlip, 'prob': 1.0},
    {'type': 'mmseg.RandomRotate', 'prob': 1.0, 'degree': 10},
    {'type': 'mmseg.RandomRotFlip'},
    {'type': 'mmseg.RandomCrop', 'crop_size': (8, 8)},
    {'type': 'mmseg.ResizeShortestEdge', 'scale': 16, 'max_size': 64},
    {'type': 'Resize', 'scale_factor': 0.5},
    {'type': 'RandomChoiceResize', 'scales': [(16, 16)]},
    {'type': 'Pad', 'size': (64, 64)},
    {'type': 'CenterCrop', 'crop_size': 16},
    {'type': 'RandomApply', 'transforms': [FLIP], 'prob': 1.0},
    {'type': 'RandomChoice', 'transforms': [[{'type': 'RandomApply', 'transforms': [FLIP]}]]},
    {'type': 'TestTimeAug', 'transforms': [[FLIP], [FLIP]]},
    {'type': OwnSettings},
]
STILL = [
    {'type': 'mmseg.PhotoMetricDistortion'},
    {'type': 'RandomGrayscale', 'prob': 1.0, 'keep_channels': True},
    {'type': 'mmseg.CLAHE'},
    {'type': OwnFlip, 'prob': 1.0},
    {'type': 'RandomApply', 'transforms': [{'type': 'mmseg.AdjustGamma'}], 'prob': 1.0},
]


@pytest.fixture(autouse=True)
def scope():
    before = DefaultScope.get_current_instance()
    init_default_scope('mmbmtas')
    yield
    if before is not None:
        init_default_scope(before.scope_name)


def sample(keys=('gt_semseg',)):
    labels = {key: np.zeros((32, 48), np.uint8) for key in keys}
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    size = {'ori_shape': (32, 48), 'img_shape': (32, 48)}
    return {'img': image, 'img_path': 'a.jpg', **size, **labels, 'label_keys': [*keys]}


def name(config):
    kind = config['type']
    return kind if isinstance(kind, str) else 'class'


@pytest.mark.parametrize('config', MOVING, ids=name)
def test_what_moves_the_image_alone_is_refused(config):
    transform = TRANSFORMS.build(dict(config))

    def act():
        np.random.seed(0)
        for _ in range(20):  # some draw by chance whether to act
            transform(sample())

    with pytest.raises(ValueError, match=r'a\.jpg: mm(cv|seg)\.\w+ in .* \(gt_semseg\).*; use '):
        act()


@pytest.mark.parametrize('config', [FLIP, MOVING[7]], ids=name)
def test_images_without_labels_go_through(config):
    """As in mmseg's own pipelines for evaluation, which read labels after the resizing."""
    own = getattr(mmcv.transforms, config['type'])(**{k: config[k] for k in config if k != 'type'})
    expected = own(sample(()))['img']
    assert np.array_equal(TRANSFORMS.build(dict(config))(sample(()))['img'], expected)


@pytest.mark.parametrize('config', STILL, ids=name)
def test_what_changes_colours_only_goes_through(config):
    transform = TRANSFORMS.build(dict(config))
    assert not isinstance(transform, ImageAlone)
    assert transform(sample())['img'].shape == (32, 48, 3)


def test_a_flip_in_a_data_set_is_refused_with_what_to_use(pascal_root):
    steps = [{'type': 'LoadSampleImage'}, {'type': 'LoadPascalContextLabels'}]
    for flip in (FLIP, mmcv.transforms.RandomFlip(prob=1.0)):
        dataset = PascalContextMT(str(pascal_root), tasks=['semseg'], pipeline=[*steps, flip])
        with pytest.raises(ValueError, match=r'mmcv\.RandomFlip .*use RandomFlipSample'):
            dataset[0]


def test_data_sets_whose_pipeline_mmengine_builds(tmp_path):
    class Own(BaseDataset):
        def load_data_list(self):
            return [sample()]

    built = build_dataset(Own(pipeline=[FLIP, {'type': 'PackMultiTaskInputs'}]))
    with pytest.raises(ValueError, match='use RandomFlipSample'):
        built[0]
