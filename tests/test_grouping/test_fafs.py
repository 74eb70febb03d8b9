"""FAFS: affinities, the loss and the greedy, by hand."""

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbmtas.grouping import branch_affinity, difficulty_affinity, fafs_tree
from mmbmtas.grouping.fafs import separation_cost
from mmbmtas.structures import TaskGrouping

BLOCKS = np.array([[1, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.2, 1]])


def test_affinity_by_hand():
    errors = [[1, 2, 3, 6], [5, 5, 5, 5], [9, 1, 1, 9]]  # means 3, 5, 5
    # hard: 0 0 1 1, 1 1 1 1, 1 0 0 1
    expected = [[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]]
    np.testing.assert_array_equal(difficulty_affinity(errors), expected)


def test_affinity_takes_images_with_both_labels():
    nan = np.nan
    errors = [
        [1, 3, nan, 1],
        [nan, 9, 4, 1],
    ]  # means 5/3 and 14/3: easy hard - easy, - hard easy easy
    np.testing.assert_array_equal(difficulty_affinity(errors), np.ones((2, 2)))
    errors[0][3] = 2  # now hard
    np.testing.assert_array_equal(difficulty_affinity(errors), [[1, 0.5], [0.5, 1]])


@pytest.mark.parametrize(
    ('errors', 'message'),
    [
        ([[1, np.nan], [np.nan, 1]], 'tasks 0 and 1 have no common labelled image among 2'),
        ([[1, 2], [np.nan, np.nan]], 'tasks 0 and 1 have no common'),
        ([[np.nan]], 'task 0 has no labelled image'),
        ([[1, np.inf]], 'expected finite'),
        ([1, 2], 'expected finite'),
    ],
)
def test_errors_without_an_affinity(errors, message):
    with pytest.raises(ValueError, match=message):
        difficulty_affinity(errors)


def test_branch_affinity_by_hand():
    found = branch_affinity(BLOCKS, [(0, 1), (2,)])
    # from {0, 1} to {2}: (0.1 + 0.2) / 2; back: min(0.1, 0.2)
    np.testing.assert_allclose(found, [[0.9, 0.125], [0.125, 1]])


def test_separation_by_hand():
    assert separation_cost(BLOCKS, TaskGrouping.all_apart(3)) == 0
    assert separation_cost(BLOCKS, TaskGrouping(((0, 1), (2,)))) == pytest.approx(0.05)
    # rows' smallest 0.1, 0.2, 0.1
    assert separation_cost(BLOCKS, TaskGrouping.shared(3)) == pytest.approx(1 - 0.4 / 3)


def test_the_greedy_by_hand():
    # Costs of 1, 2, 3 clusters in a layer of share c: alpha * 0.8667, c + alpha * 0.05, 2 c.
    layers = [1, 2, 7]  # shares 0.1, 0.2, 0.7

    def groups(alpha):
        return [str(grouping) for grouping in fafs_tree(BLOCKS, layers, alpha)]

    assert groups(0) == ['{0,1,2}'] * 3
    assert groups(0.3) == ['{0,1,2}'] * 3
    assert groups(1) == ['{0,1}{2}'] * 3
    assert groups(100) == ['{0}{1}{2}'] * 3


def test_tasks_part_in_the_last_layers_only():
    affinity = np.array([[1, 0.2], [0.2, 1]])
    found = fafs_tree(affinity, [8, 1, 1], alpha=0.5)  # 0.4 against 0.8, 0.1, 0.1
    assert [grouping.num_groups for grouping in found] == [1, 2, 2]


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6), st.floats(0, 5))
def test_a_renaming_of_tasks_renames_the_tree(tasks, layers, seed, alpha):
    rng = np.random.default_rng(seed)
    affinity = np.eye(tasks) + np.triu(rng.random((tasks, tasks)), 1)
    affinity = np.minimum(affinity, affinity.T) + np.abs(affinity - affinity.T)
    madds = rng.integers(1, 100, layers).tolist()
    order = rng.permutation(tasks).tolist()
    tree = fafs_tree(affinity, madds, alpha)
    assert all(b.refines(a) for a, b in itertools.pairwise(tree))
    renamed = fafs_tree(affinity[np.ix_(order, order)], madds, alpha)
    assert renamed == tuple(grouping.restricted_to(order) for grouping in tree)


def blocks(sizes):
    """Affinity 0.95 within blocks of tasks, 0.05 between."""
    block = np.repeat(np.arange(len(sizes)), sizes)
    affinity = np.where(block[:, None] == block, 0.95, 0.05)
    np.fill_diagonal(affinity, 1)
    return affinity, TaskGrouping.from_labels(block.tolist())


def test_many_tasks_by_spectral_clustering():
    affinity, expected = blocks([3, 2, 4])
    found = fafs_tree(affinity, [1] * 20, alpha=1)
    assert found[-1] == expected
    assert found == fafs_tree(affinity, [1] * 20, alpha=1)


def test_many_tasks_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.cluster', None)
    affinity, _ = blocks([3, 4])
    with pytest.raises(ValueError, match=r'pip install mmbmtas\[grouping\]'):
        fafs_tree(affinity, [1, 1], 1)
    assert len(fafs_tree(blocks([3, 3])[0], [1, 1], 1)) == 2


@pytest.mark.parametrize(
    ('affinity', 'alpha'), [(np.ones((2, 3)), 1), (np.eye(2) * 2, 1), (np.eye(2), -1)]
)
def test_input_of_another_form(affinity, alpha):
    with pytest.raises(ValueError, match='expected a square of numbers'):
        fafs_tree(affinity, [1], alpha)
