"""Geometry, ignore marking and packing: what happens to each kind of label."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbmtas.datasets import NYUDv2MT, PascalContextMT
from mmbmtas.datasets.transforms import (
    IgnoreEmptyParts,
    PackMultiTaskInputs,
    PadToSize,
    RandomCropSample,
    RandomFlipSample,
    RandomScale,
    ResizeSample,
)
from mmbmtas.structures.data_sample import MultiTaskDataSample

PAD_VALUES = {
    'semseg': 255,
    'human_parts': 255,
    'saliency': 255,
    'edge': 255,
    'normals': 0,
    'depth': 0,
    'flow_bins': 255,  # tasks of a user's
    'albedo': 0,
}


def make_sample(height=12, width=20, seed=0):
    rng = np.random.default_rng(seed)
    shape = (height, width)
    normals = rng.normal(size=(*shape, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals[0, 0] = 0
    results = {
        'img': rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
        'img_path': 'folder/image.jpg',
        'ori_shape': shape,
        'gt_semseg': rng.integers(0, 21, shape, dtype=np.uint8),
        'gt_human_parts': rng.integers(0, 7, shape, dtype=np.uint8),
        'gt_saliency': rng.choice(np.array([0, 1, 255], np.uint8), shape),
        'gt_edge': rng.integers(0, 2, shape, dtype=np.uint8),
        'gt_normals': normals,
        'gt_depth': rng.choice(np.array([0, 1.5, 4], np.float32), shape),
        'gt_flow_bins': rng.integers(0, 9, shape),
        'gt_albedo': rng.random((*shape, 2)),
    }
    results['label_keys'] = [key for key in results if key.startswith('gt_')]
    return results


def copy_of(results):
    return {k: v.copy() if hasattr(v, 'copy') else v for k, v in results.items()}


def test_padding_is_centred_with_ignored_values():
    before = make_sample(12, 20)
    after = PadToSize(size=(17, 20))(copy_of(before))
    assert after['padding'] == (0, 2, 0, 3)
    assert after['img_shape'] == after['img'].shape[:2] == (17, 20)
    for name, value in {'img': 128, **{f'gt_{n}': v for n, v in PAD_VALUES.items()}}.items():
        assert np.array_equal(after[name][2:14], before[name]), name
        assert (after[name][:2] == value).all(), name
        assert (after[name][14:] == value).all(), name
        assert after[name].dtype == before[name].dtype


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 16),
)
@settings(max_examples=60)
def test_padding_says_where_the_image_lies(height, width, least_height, least_width, divisor):
    before = make_sample(height, width)
    transform = PadToSize(size=(least_height, least_width), divisor=divisor, pad_labels=False)
    after = transform(copy_of(before))
    padded_height, padded_width = after['img'].shape[:2]
    assert padded_height % divisor == 0
    assert padded_width % divisor == 0
    assert max(height, least_height) <= padded_height < max(height, least_height) + divisor
    left, top, right, bottom = after['padding']
    assert 0 <= right - left <= 1
    assert 0 <= bottom - top <= 1
    inside = after['img'][top : padded_height - bottom, left : padded_width - right]
    assert np.array_equal(inside, before['img'])
    assert np.array_equal(after['gt_semseg'], before['gt_semseg'])


@pytest.mark.parametrize('scale', [0.5, 1.25, 2.0])
def test_scaling_takes_nearest_labels_and_divides_depth(scale):
    before = make_sample()
    after = RandomScale(scales=[scale])(copy_of(before))
    size = (round(20 * scale), round(12 * scale))
    assert np.array_equal(after['img'], cv2.resize(before['img'], size))
    for name in ('semseg', 'human_parts', 'saliency', 'edge', 'normals'):
        expected = cv2.resize(before[f'gt_{name}'], size, interpolation=cv2.INTER_NEAREST)
        assert np.array_equal(after[f'gt_{name}'], expected), name
    depth = cv2.resize(before['gt_depth'], size, interpolation=cv2.INTER_NEAREST) / scale
    assert np.array_equal(after['gt_depth'], depth.astype(np.float32))
    assert after['gt_depth'].dtype == np.float32
    bins = cv2.resize(
        before['gt_flow_bins'].astype(np.int32), size, interpolation=cv2.INTER_NEAREST
    )
    assert np.array_equal(after['gt_flow_bins'], bins)
    assert after['gt_flow_bins'].dtype == np.int64
    assert np.isin(after['gt_albedo'], before['gt_albedo']).all()
    assert after['scale_factor'] == scale


def test_scales_are_drawn_with_equal_chance():
    transform = RandomScale()
    np.random.seed(0)
    drawn = [transform._choose_scale() for _ in range(7000)]
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
    assert counts.min() > 850


def test_crop_cuts_the_same_window_everywhere():
    before = make_sample()
    index = np.arange(240).reshape(12, 20)
    before['gt_flow_bins'] = index
    corners = set()
    for seed in range(40):
        np.random.seed(seed)
        after = RandomCropSample((5, 7))(copy_of(before))
        top, left = divmod(int(after['gt_flow_bins'][0, 0]), 20)
        corners.add((top, left))
        for key in ('img', *before['label_keys']):
            assert np.array_equal(after[key], before[key][top : top + 5, left : left + 7]), key
    assert len(corners) > 25
    assert max(top for top, _ in corners) == 7
    assert max(left for _, left in corners) == 13


def test_crop_of_a_smaller_image():
    with pytest.raises(
        ValueError, match=r'folder/image.jpg: an image of 12 x 20 is smaller than the'
    ):
        RandomCropSample((13, 20))(make_sample())


def test_flip_mirrors_everything_and_negates_x():
    before = make_sample()
    after = RandomFlipSample(prob=1)(copy_of(before))
    assert after['flip']
    for key in ('img', *before['label_keys']):
        expected = before[key][:, ::-1].copy()
        if key == 'gt_normals':
            expected[..., 0] = -expected[..., 0]
        assert np.array_equal(after[key], expected), key
        assert (np.signbit(after[key]) == np.signbit(expected)).all()  # -0.0 too
        assert after[key].dtype == expected.dtype
    twice = RandomFlipSample(prob=1)(copy_of(after))
    for key in ('img', *before['label_keys']):
        assert np.array_equal(twice[key], before[key]), key
    assert not RandomFlipSample(prob=0)(copy_of(before))['flip']


def test_what_is_packed_is_whole_and_its_own():
    """Windows and mirrored views become arrays in order that share nothing with the sample."""
    results = RandomCropSample((9, 11))(make_sample())
    results = RandomFlipSample(prob=1)(results)
    arrays = {key: results[key] for key in ('img', *results['label_keys'])}
    assert not arrays['img'].flags.c_contiguous
    expected = copy_of(arrays)
    packed = PackMultiTaskInputs()(results)
    tensors = {key: packed['data_samples'].get(key).data for key in results['label_keys']}
    tensors['img'] = packed['inputs']
    for key, tensor in tensors.items():
        assert tensor.is_contiguous(), key
        planes = expected[key].reshape(9, 11, -1).transpose(2, 0, 1)
        assert np.array_equal(tensor.numpy(), planes.astype(tensor.numpy().dtype)), key
        tensor.fill_(1)
        assert np.array_equal(arrays[key], expected[key]), key


def test_search_resize_of_each_kind():
    before = make_sample(12, 20)
    before['label_map'] = np.random.default_rng(1).integers(0, 460, (12, 20)).astype(np.uint16)
    after = ResizeSample(0.5)(copy_of(before))
    assert after['img_shape'] == (6, 10)
    assert np.array_equal(after['img'], cv2.resize(before['img'], (10, 6)))
    for key in ('gt_semseg', 'gt_human_parts', 'gt_edge', 'gt_depth', 'label_map'):
        assert np.array_equal(after[key], before[key][::2, ::2]), key
    # At one half, bilinear is the mean of two by two pixels.
    salient = (before['gt_saliency'] == 1).astype(float).reshape(6, 2, 10, 2).mean((1, 3)) > 0.5
    ignored = before['gt_saliency'][::2, ::2] == 255
    assert np.array_equal(after['gt_saliency'], np.where(ignored, 255, salient))
    mean = before['gt_normals'].reshape(6, 2, 10, 2, 3).mean((1, 3))
    mean /= np.linalg.norm(mean, axis=-1, keepdims=True)
    mean[0, 0] = 0  # the nearest pixel is invalid
    np.testing.assert_allclose(after['gt_normals'], mean, atol=1e-5)
    assert after['gt_normals'].dtype == np.float32


def test_search_resize_keeps_valid_normals_pure():
    results = make_sample(8, 8)
    results['gt_normals'][:] = 0
    results['gt_normals'][:, 2:] = [0, 0.6, 0.8]
    normals = ResizeSample(2 / 3)(results)['gt_normals']
    valid = normals.any(-1)
    assert 0 < valid.sum() < valid.size
    np.testing.assert_allclose(normals[valid], np.tile([0, 0.6, 0.8], (valid.sum(), 1)), atol=1e-6)


def test_parts_map_without_parts_is_ignored():
    parts = np.zeros((4, 4), np.uint8)
    parts[:2] = 255
    ignored = IgnoreEmptyParts()({'gt_human_parts': parts})['gt_human_parts']
    assert (ignored == 255).all()
    parts[3, 3] = 6
    kept = IgnoreEmptyParts()({'gt_human_parts': parts})['gt_human_parts']
    assert np.array_equal(kept, parts)
    assert IgnoreEmptyParts()({'img': 1}) == {'img': 1}


def test_packing():
    results = make_sample()
    results['padding'] = (1, 2, 3, 4)
    packed = PackMultiTaskInputs()(results)
    assert packed['inputs'].dtype == torch.uint8
    assert np.array_equal(packed['inputs'].numpy(), results['img'].transpose(2, 0, 1))
    sample = packed['data_samples']
    assert isinstance(sample, MultiTaskDataSample)
    assert sample.ori_shape == (12, 20)
    assert sample.padding == (1, 2, 3, 4)
    for name in ('semseg', 'human_parts', 'saliency', 'edge', 'flow_bins'):
        data = sample.get(f'gt_{name}').data
        assert data.dtype == torch.int64
        assert np.array_equal(data[0], results[f'gt_{name}'])
    assert sample.gt_normals.data.shape == (3, 12, 20)
    assert sample.gt_depth.data.shape == (1, 12, 20)
    assert sample.gt_albedo.data.dtype == torch.float32
    assert sample.gt_albedo.data.shape == (2, 12, 20)


AUGMENT = [
    {'type': 'ResizeSample', 'scale_factor': 0.5},
    {'type': 'DeriveEdges'},
    {'type': 'RandomScale'},
    {'type': 'PadToSize', 'size': (24, 24)},
    {'type': 'RandomCropSample', 'size': (24, 24)},
    {'type': 'RandomFlipSample'},
    {'type': 'IgnoreEmptyParts'},
    {'type': 'PackMultiTaskInputs'},
]


def test_a_missing_label_is_no_trouble():
    results = make_sample()
    for key in ('gt_human_parts', 'gt_normals'):
        del results[key]
        results['label_keys'].remove(key)
    dataset = NYUDv2MT('x', pipeline=AUGMENT, lazy_init=True)
    sample = dataset.pipeline(results)['data_samples']
    assert 'gt_normals' not in sample
    assert sample.gt_depth.data.shape == (1, 24, 24)


def draw(dataset, seed):
    np.random.seed(seed)
    return [dataset[i] for i in range(len(dataset))]


def test_seeds_decide_the_augmentation(pascal_root):
    dataset = PascalContextMT(
        str(pascal_root),
        pipeline=[{'type': 'LoadSampleImage'}, {'type': 'LoadPascalContextLabels'}, *AUGMENT],
    )
    once, again, other = draw(dataset, 3), draw(dataset, 3), draw(dataset, 4)
    for a, b in zip(once, again, strict=True):
        assert torch.equal(a['inputs'], b['inputs'])
        for task in dataset.tasks:
            key = f'gt_{task}'
            assert torch.equal(a['data_samples'].get(key).data, b['data_samples'].get(key).data)
    assert not all(torch.equal(a['inputs'], b['inputs']) for a, b in zip(once, other, strict=True))


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: ResizeSample(0), 'scale_factor must be greater than 0, got 0'),
        (lambda: RandomScale(()), 'scales must be one or more numbers greater than 0'),
        (lambda: RandomScale((0.5, -1)), 'scales must be one or more numbers greater than 0'),
        (lambda: PadToSize(), 'PadToSize needs a size of positive height and width, or a divisor'),
        (lambda: PadToSize(size=(0, 4)), 'PadToSize needs a size of positive height'),
        (lambda: RandomFlipSample(1.5), 'prob must lie in 0 to 1, got 1.5'),
    ],
)
def test_arguments_out_of_range(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_padding_of_values_is_a_setting():
    before = make_sample(12, 20)
    after = PadToSize(size=(17, 20), label_values={'albedo': -9999.0})(copy_of(before))
    assert (after['gt_albedo'][:2] == -9999).all()
    assert np.array_equal(after['gt_albedo'][2:14], before['gt_albedo'])
    assert (after['gt_depth'][:2] == 0).all()
