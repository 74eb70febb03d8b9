"""BMN: representational similarity against scipy, and the search against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

from mmbmtas.grouping import (
    dissimilarity,
    grouping_costs,
    least_cost_tree,
    rsa_affinity,
    tree_madds,
)
from mmbmtas.structures import all_groupings


def random_affinities(layers, tasks, seed, digits=3):
    values = np.random.default_rng(seed).uniform(-0.2, 1, (layers, tasks, tasks)).round(digits)
    values = np.triu(values, 1)
    return values + values.transpose(0, 2, 1) + np.eye(tasks)


def expand(num_tasks, costs, layer_madds):
    """List cost, MAdds and groupings of all trees, all at once with numpy."""
    groupings = list(all_groupings(num_tasks))
    finer = np.array([[b.refines(a) for b in groupings] for a in groupings])
    sizes = np.array([grouping.num_groups for grouping in groupings])
    trees = np.arange(len(groupings), dtype=np.uint8)[:, None]
    for _ in layer_madds[1:]:
        row, last = np.nonzero(finer[trees[:, -1]])
        trees = np.column_stack([trees[row], last.astype(trees.dtype)])
    units = np.rint(costs / 1e-12).astype(np.int64)
    total = sum(units[layer, trees[:, layer]] for layer in range(len(layer_madds)))
    return total, sizes[trees] @ np.asarray(layer_madds), trees, groupings


def check_optimum(num_tasks, costs, layer_madds, cap, trees=None):
    total, madds, trees, groupings = trees or expand(num_tasks, costs, layer_madds)
    total, madds = total[madds <= cap], madds[madds <= cap]
    least = total.min(), madds[total == total.min()].min()
    found = least_cost_tree(costs, layer_madds, cap)
    units = [
        round(costs[layer, groupings.index(grouping)] / 1e-12)
        for layer, grouping in enumerate(found)
    ]
    assert (sum(units), tree_madds(found, layer_madds)) == least
    assert all(b.refines(a) for a, b in itertools.pairwise(found))


@settings(max_examples=60)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 10**6), st.floats(0, 1))
def test_the_optimum_equals_brute_force(tasks, layers, seed, share):
    rng = np.random.default_rng(seed)
    madds = rng.integers(1, 30, layers).tolist()
    costs = grouping_costs(random_affinities(layers, tasks, seed, digits=1))
    check_optimum(tasks, costs, madds, sum(madds) * (1 + share * (tasks - 1)))


def test_the_optimum_among_all_904894_trees():
    rng = np.random.default_rng(0)
    madds = rng.integers(1, 10**8, 18).tolist()
    costs = grouping_costs(random_affinities(18, 5, 0))
    trees = expand(5, costs, madds)
    assert len(trees[0]) == 904_894
    for share in (1, 1.5, 2.2, 5):
        check_optimum(5, costs, madds, sum(madds) * share, trees)


def test_ties_go_to_fewer_madds():
    costs = grouping_costs(np.ones((4, 3, 3)))  # all groupings cost nothing
    assert {grouping.num_groups for grouping in least_cost_tree(costs, [1] * 4, 12)} == {1}
    # 0.1 + 0.2 and 0.3 tie, whatever the order of sums.
    costs = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]])
    assert {grouping.num_groups for grouping in least_cost_tree(costs, [1] * 3, 6)} == {1}


def test_without_a_cap_akin_tasks_stay_together_only_for_nothing():
    affinities = np.full((3, 3, 3), 0.5)
    affinities[:2] = 1
    found = least_cost_tree(grouping_costs(affinities), [1, 1, 1], 9)
    assert [grouping.num_groups for grouping in found] == [1, 1, 3]


def test_fixed_costs_count_towards_the_cap():
    costs = grouping_costs(np.full((3, 2, 2), 0.5))
    assert least_cost_tree(costs, [1, 1, 1], 15, fixed_madds=10) == least_cost_tree(
        costs, [1, 1, 1], 5
    )


@pytest.mark.parametrize(
    ('costs', 'cap', 'message'),
    [
        (np.zeros((3, 5)), 12, 'a cap of 12 MAdds is out of reach.*shares all layers takes 13'),
        (np.zeros((2, 5)), 20, r'costs of shape \(2, 5\): expected'),
        (np.zeros((3, 6)), 20, r'costs of shape \(3, 6\): expected'),
        (np.full((3, 5), np.nan), 20, 'expected finite numbers'),
    ],
)
def test_what_cannot_be_searched(costs, cap, message):
    with pytest.raises(ValueError, match=message):
        least_cost_tree(costs, [1, 1, 1], cap, fixed_madds=10)


def test_grouping_costs_by_hand():
    affinity = [[1, 0.9, 0.2], [0.9, 1, 0.4], [0.2, 0.4, 1]]
    costs = dict(zip(map(str, all_groupings(3)), grouping_costs([affinity])[0], strict=True))
    assert costs == pytest.approx(
        {
            '{0,1,2}': 0.8,
            '{0,1}{2}': 0.05,
            '{0,2}{1}': 0.4,
            '{0}{1,2}': 0.3,
            '{0}{1}{2}': 0,
        }
    )


@pytest.mark.parametrize('broken', [np.zeros((2, 3)), np.full((1, 2, 2), np.inf)])
def test_affinities_of_another_form(broken):
    with pytest.raises(ValueError, match='affinities'):
        grouping_costs(broken)
    lopsided = np.ones((1, 2, 2))
    lopsided[0, 0, 1] = 0
    with pytest.raises(ValueError, match='symmetric'):
        grouping_costs(lopsided)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(3, 12), st.integers(2, 20))
def test_similarity_equals_scipy(seed, images, size):
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(images, size, 2)) for _ in range(3)]
    matrices = [dissimilarity(f) for f in features]
    for matrix, f in zip(matrices, features, strict=True):
        expected = squareform(pdist(f.reshape(images, -1), 'correlation'))
        np.testing.assert_allclose(matrix, expected, atol=1e-9)
    affinity = rsa_affinity(matrices)
    upper = np.triu_indices(images, 1)
    for i in range(3):
        for j in range(3):
            expected = spearmanr(matrices[i][upper], matrices[j][upper]).statistic
            assert affinity[i, j] == pytest.approx(expected, abs=1e-9)


def test_similarity_does_not_depend_on_order_or_scale():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 60, 30)).astype(np.float32)
    order = rng.permutation(60)
    expected = rsa_affinity([dissimilarity(a), dissimilarity(b)])
    permuted = rsa_affinity([dissimilarity(5 * a[order] + 3), dissimilarity(b[order])])
    np.testing.assert_allclose(permuted, expected, atol=1e-5)


def test_images_that_look_the_same_to_a_network():
    features = np.random.default_rng(0).normal(size=(5, 8))
    features[2] = 4  # correlates with nothing
    assert dissimilarity(features)[2].tolist() == [1, 1, 0, 1, 1]
    blind = dissimilarity(np.ones((5, 8)))
    assert rsa_affinity([blind, dissimilarity(features)])[0].tolist() == [1, 0]


def test_features_and_matrices_that_make_no_sense():
    with pytest.raises(ValueError, match='not finite'):
        dissimilarity([[1, np.nan], [0, 1]])
    with pytest.raises(ValueError, match='expected square matrices of the same 3 or more'):
        rsa_affinity([np.zeros((3, 3)), np.zeros((4, 4))])
    with pytest.raises(ValueError, match='expected square matrices of the same 3 or more'):
        rsa_affinity([np.zeros((2, 2))])
