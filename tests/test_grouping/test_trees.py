"""Counting trees, drawing them uniformly, vanilla trees and permutations."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from mmbmtas.grouping import count_trees, permuted_trees, random_trees, tree_madds, vanilla_tree
from mmbmtas.grouping.trees import (
    profile_sizes,
    profiles,
    random_below,
    random_partition,
    stirling,
)
from mmbmtas.structures import BranchedArchitecture, TaskGrouping, all_groupings


def all_trees(num_tasks, num_layers):
    """List all trees by refining the first layer's grouping again and again."""
    trees = [(grouping,) for grouping in all_groupings(num_tasks)]
    for _ in range(num_layers - 1):
        trees = [(*tree, finer) for tree in trees for finer in tree[-1].refinements()]
    return trees


@pytest.mark.parametrize(('tasks', 'layers', 'count'), [(5, 18, 904_894), (4, 17, 16_695)])
def test_the_papers_spaces(tasks, layers, count):
    assert count_trees(tasks, layers) == count
    counts, _ = profiles(tasks, [1] * layers)
    assert profile_sizes(tasks, counts).sum() == count


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 4))
def test_counts_and_costs_equal_enumeration(tasks, layers):
    madds = [3, 10, 1, 7][:layers]
    trees = all_trees(tasks, layers)
    assert len(set(trees)) == len(trees) == count_trees(tasks, layers)
    counts, costs = profiles(tasks, madds)
    sizes = profile_sizes(tasks, counts)
    found = Counter()
    for cost, size in zip(costs.tolist(), sizes, strict=True):
        found[cost] += size
    assert found == Counter(tree_madds(tree, madds) for tree in trees)


def test_groupings_of_a_layer_are_bell_numbers():
    assert [sum(stirling(n, k) for k in range(n + 1)) for n in range(1, 9)] == [
        *(1, 2, 5, 15, 52, 203, 877, 4140)
    ]


def test_two_tasks_part_at_one_of_the_layers_or_never():
    assert [count_trees(2, layers) for layers in range(1, 20)] == [*range(2, 21)]


def test_random_partitions_are_uniform():
    rng = np.random.default_rng(3)
    drawn = Counter(TaskGrouping.from_labels(random_partition(5, 3, rng)) for _ in range(5000))
    assert len(drawn) == stirling(5, 3) == 25
    assert {grouping.num_groups for grouping in drawn} == {3}
    assert chisquare(list(drawn.values())).pvalue > 0.001


@pytest.mark.parametrize('bound', [1, 7, 256, 10**30])
def test_random_below_any_bound(bound):
    rng = np.random.default_rng(0)
    drawn = [random_below(bound, rng) for _ in range(200)]
    assert 0 <= min(drawn) <= max(drawn) < bound
    assert np.mean(drawn) / bound == pytest.approx((1 - 1 / bound) / 2, abs=0.1)


def test_random_trees_are_uniform_within_the_tolerance():
    madds, fixed = [5, 3, 4], 100
    near = {
        tree for tree in all_trees(4, 3) if abs(fixed + tree_madds(tree, madds) - 130) <= 0.02 * 130
    }
    assert 40 < len(near) < len(all_trees(4, 3))
    drawn = Counter(
        random_trees(4, madds, 130, tolerance=0.02, seed=seed, fixed_madds=fixed)[0]
        for seed in range(40 * len(near))
    )
    assert set(drawn) == near
    assert chisquare(list(drawn.values())).pvalue > 0.001


def test_several_random_trees_differ_and_come_again():
    trees = random_trees(5, [1] * 18, 50, number=20, seed=4)
    assert len(set(trees)) == 20
    assert trees == random_trees(5, [1] * 18, 50, number=20, seed=4)
    assert trees != random_trees(5, [1] * 18, 50, number=20, seed=5)
    assert all(abs(tree_madds(tree, [1] * 18) - 50) <= 1 for tree in trees)
    for tree in trees:
        tasks = list('abcde')
        BranchedArchitecture.from_groupings(tasks, {'type': 'X'}, tree)  # refuses merges


def test_all_trees_of_a_budget_can_be_drawn():
    near = [tree for tree in all_trees(3, 2) if tree_madds(tree, [1, 1]) == 4]
    assert set(random_trees(3, [1, 1], 4, tolerance=0, number=len(near))) == set(near)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'budget': 10},
            r'0 trees lie within 2.0% of 10 MAdds, but 1 were requested.* 18 to 90 MAdds',
        ),
        ({'budget': 18, 'number': 2}, '1 trees lie within'),
        ({'budget': 18, 'tolerance': -0.1}, 'tolerance -0.1'),
        ({'budget': 18, 'number': 0}, 'number 0'),
        ({'budget': math.nan}, '0 trees lie within'),
    ],
)
def test_random_trees_out_of_reach(options, message):
    with pytest.raises(ValueError, match=message):
        random_trees(5, [1] * 18, **options)


def test_more_tasks_than_can_be_listed():
    with pytest.raises(ValueError, match='16 tasks in 18 layers have 1,037,158,320 profiles'):
        random_trees(16, [1] * 18, 50)
    with pytest.raises(ValueError, match='0 tasks and 3 layers'):
        count_trees(0, 3)


def test_vanilla_is_the_closest_of_its_kind():
    madds, fixed = [7, 1, 4, 6, 2], 11
    kind = [tree for tree in all_trees(3, 5) if {g.num_groups for g in tree} <= {1, 3}]
    costs = {fixed + tree_madds(tree, madds) for tree in kind}
    assert len(costs) == len(kind) == 6
    for budget in range(min(costs), max(costs) + 1):
        tree = vanilla_tree(3, madds, budget, fixed)
        cost = fixed + tree_madds(tree, madds)
        assert {grouping.num_groups for grouping in tree} <= {1, 3}
        nearest = min(abs(other - budget) for other in costs)
        assert abs(cost - budget) == nearest
        assert cost == min(other for other in costs if abs(other - budget) == nearest)


@pytest.mark.parametrize('budget', [30, 72])
def test_vanilla_out_of_reach(budget):
    with pytest.raises(ValueError, match='all layers shared take 31, none shared 71'):
        vanilla_tree(3, [7, 1, 4, 6, 2], budget, 11)


def test_permutations_keep_the_cost_and_differ():
    (tree,) = random_trees(5, [1] * 18, 50, seed=1)
    others = permuted_trees(tree, 5, seed=0)
    assert len({tree, *others}) == 6
    profile = [grouping.num_groups for grouping in tree]
    for other in others:
        assert [grouping.num_groups for grouping in other] == profile
    assert others == permuted_trees(tree, 5, seed=0)


def test_permutations_are_uniform():
    tree = tuple(TaskGrouping(groups) for groups in (((0, 1, 2, 3),), ((0, 1), (2, 3))))
    drawn = Counter(permuted_trees(tree, 1, seed=seed)[0][1] for seed in range(1000))
    assert set(map(str, drawn)) == {'{0,2}{1,3}', '{0,3}{1,2}'}
    assert chisquare(list(drawn.values())).pvalue > 0.001


def test_a_tree_without_other_permutations():
    shared = (TaskGrouping.shared(3),) * 2
    with pytest.raises(ValueError, match='0 other permutations of its tasks, but 5 were requested'):
        permuted_trees(shared)


def test_a_trees_cost_needs_one_cost_a_layer():
    with pytest.raises(ValueError, match='2 layers in the tree, 3 costs'):
        tree_madds((TaskGrouping.shared(3),) * 2, [1, 1, 1])
