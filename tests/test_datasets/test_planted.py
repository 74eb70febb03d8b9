"""Planted problems: what the labels are made of, and what is refused."""

import numpy as np
import pytest

from mmbmtas.datasets import PlantedMT

PAIRS = [[['a', 'b', 'c', 'd']], [['a', 'c'], ['b', 'd']]]


def rank(maps):
    """Rank of labels ``(T, ...)`` as functions of the pixels, up to a constant."""
    rows = np.stack([task.ravel() - task.mean() for task in maps])
    values = np.linalg.svd(rows @ rows.T, compute_uv=False)
    return int((values > 1e-4 * values[0]).sum())


def labels(dataset, tasks):
    return [np.stack([sample[f'gt_{task}'] for sample in dataset]) for task in tasks]


def make(tree, **options):
    return PlantedMT(tree, **{'num_train': 24, 'num_val': 8, 'size': 8, **options})


def test_tasks_of_a_branch_are_readouts_of_its_channels():
    """Six readouts of two channels span two dimensions; those of two branches span four."""
    together = make([[[*'abcdef']], [[*'abcdef']]], width=2)
    apart = make([[[*'abcdef']], [[*'abc'], [*'def']]], width=2)
    assert rank(labels(together, 'abcdef')) == 2
    assert rank(labels(apart, 'abcdef')) == 4
    assert rank(labels(apart, 'abc')) == 2


def test_images_and_labels_have_mean_0_and_deviation_1():
    train, val = make(PAIRS), make(PAIRS, split='val')
    images = np.concatenate([data.images for data in (train, val)])
    values = (images.astype(float) - 128) / 32
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.std() == pytest.approx(1, abs=0.01)
    for task in 'abcd':
        both = np.concatenate([data.labels[task] for data in (train, val)])
        assert (both.mean(), both.std()) == pytest.approx((0, 1), abs=1e-3)


def test_the_box_blurs():
    """Neighbours of a 3x3 box of white noise correlate by 6 of 9 pixels."""
    values = make(PAIRS, num_train=400, size=16).images.astype(float)
    values = values - values.mean()
    neighbours = (values * np.roll(values, 1, axis=2)).mean() / (values**2).mean()
    assert neighbours == pytest.approx(6 / 9, abs=0.02)


def test_a_seed_is_a_problem():
    first, again, other = make(PAIRS), make(PAIRS), make(PAIRS, seed=1)
    assert np.array_equal(first[3]['img'], again[3]['img'])
    assert np.array_equal(first[3]['gt_b'], again[3]['gt_b'])
    assert not np.array_equal(first[3]['img'], other[3]['img'])


def test_splits_and_fewer_tasks_are_of_one_problem():
    whole, part = make(PAIRS), make(PAIRS, tasks=['c'])
    assert np.array_equal(whole[5]['gt_c'], part[5]['gt_c'])
    assert part[5]['label_keys'] == ['gt_c']
    assert len(whole), len(make(PAIRS, split='val')) == (24, 8)


@pytest.mark.parametrize(
    ('tree', 'options', 'message'),
    [
        ([[['a', 'b']], [['a'], ['c']]], {}, 'no tree'),
        ([[['a'], ['b']], [['a', 'b']]], {}, 'layer 1 has the groups'),
        ([], {}, 'no tree'),
        (PAIRS, {'tasks': ['z']}, "tasks .'z'."),
        (PAIRS, {'width': 0}, 'width 0'),
        (PAIRS, {'split': 'test'}, "split 'test'"),
    ],
)
def test_what_is_refused(tree, options, message):
    with pytest.raises(ValueError, match=message):
        make(tree, **options)
