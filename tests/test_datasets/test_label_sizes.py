"""Labels of another size than their image are refused wherever a sample is moved or packed."""

import numpy as np
import pytest

from mmbmtas.datasets.transforms import (
    LoadPascalContextLabels,
    PackMultiTaskInputs,
    PadToSize,
    RandomCropSample,
    RandomFlipSample,
    RandomScale,
    ResizeSample,
)

TRANSFORMS = [
    RandomScale(scales=[1.0]),
    ResizeSample(0.5),
    PadToSize(size=(64, 64)),
    PadToSize(size=(64, 64), pad_labels=False),
    RandomCropSample((16, 16)),
    RandomFlipSample(1.0),
    PackMultiTaskInputs(),
]


def sample(shape, key='gt_depth'):
    return {
        'img': np.zeros((32, 48, 3), np.uint8),
        'img_path': 'images/a.jpg',
        'label_paths': {'depth': 'depth/a.npy'},
        key: np.ones(shape, np.float32),
        'label_keys': [key] if key != 'label_map' else [],
    }


@pytest.mark.parametrize('transform', TRANSFORMS, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize('shape', [(32, 47), (16, 24), (48, 32)])
def test_another_size_is_named_with_transform_task_and_file(transform, shape):
    message = (
        rf'depth/a\.npy: {type(transform).__name__} expects gt_depth of the size of its image '
        rf'images/a\.jpg, 32 x 48, found {shape[0]} x {shape[1]}'
    )
    with pytest.raises(ValueError, match=message):
        transform(sample(shape))


@pytest.mark.parametrize('transform', TRANSFORMS, ids=lambda t: type(t).__name__)
def test_the_same_size_passes(transform):
    transform(sample((32, 48)))


def test_a_label_map_counts_as_a_label():
    with pytest.raises(ValueError, match=r'images/a\.jpg: ResizeSample expects label_map'):
        ResizeSample(0.5)(sample((32, 47), 'label_map'))


def test_padded_images_in_evaluation_keep_their_labels_size():
    results = PadToSize(size=(64, 64), pad_labels=False)(sample((32, 48)))
    packed = PackMultiTaskInputs()(results)
    assert packed['inputs'].shape == (3, 64, 64)
    assert packed['data_samples'].gt_depth.data.shape == (1, 32, 48)
    with pytest.raises(ValueError, match='RandomCropSample expects gt_depth'):
        RandomCropSample((16, 16))(results)


def test_an_image_that_was_resized_before_its_labels_were_read(tmp_path):
    """Evaluation at another size, in mmseg's order: predictions go back to the original size."""
    results = {
        'img': np.zeros((16, 24, 3), np.uint8),
        'ori_shape': (32, 48),
        'label_paths': {'saliency': str(tmp_path / 'a.npy')},
        'tasks': ['saliency'],
    }
    np.save(tmp_path / 'a.npy', np.ones((32, 48)))
    results = PadToSize(divisor=32, pad_labels=False)(LoadPascalContextLabels()(results))
    packed = PackMultiTaskInputs()(results)
    assert packed['inputs'].shape == (3, 32, 32)
    assert packed['data_samples'].gt_saliency.data.shape == (1, 32, 48)
