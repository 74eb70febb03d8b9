import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmbmtas.structures import BranchedArchitecture, TaskGrouping

ENCODER = {'type': 'MobileNetV2Encoder', 'widen_factor': 1.0}
NAMES = [f'task{i}' for i in range(16)]


@st.composite
def architectures(draw):
    num_tasks, num_layers = draw(st.integers(1, 16)), draw(st.integers(1, 8))
    candidates = st.lists(st.integers(0, num_tasks - 1), min_size=num_layers, max_size=num_layers)
    tasks = NAMES[:num_tasks]
    routing = {task: draw(candidates) for task in tasks}
    return BranchedArchitecture.from_routing(tasks, ENCODER, routing)


@given(architectures())
def test_tasks_share_a_layer_iff_routings_agree_up_to_it(tree):
    for layer, grouping in enumerate(tree.groupings):
        for a, first in enumerate(tree.tasks):
            for b, second in enumerate(tree.tasks):
                agree = tree.routing[first][: layer + 1] == tree.routing[second][: layer + 1]
                assert (b in grouping.group_of(a)) == agree


@given(architectures())
def test_groupings_form_a_chain_of_refinements(tree):
    assert len(tree.groupings) == tree.num_layers
    for before, after in zip(tree.groupings, tree.groupings[1:], strict=False):
        assert after.refines(before)


@given(architectures())
def test_equality_is_about_the_tree(tree):
    same = BranchedArchitecture.from_groupings(tree.tasks, ENCODER, tree.groupings)
    assert same == tree
    assert hash(same) == hash(tree)
    again = BranchedArchitecture.from_groupings(tree.tasks, ENCODER, same.groupings)
    assert again.routing == same.routing
    assert copy.deepcopy(tree) == pickle.loads(pickle.dumps(tree)) == tree


@given(architectures(), st.data())
def test_for_tasks_keeps_who_shares_with_whom(tree, data):
    tasks = data.draw(st.lists(st.sampled_from(tree.tasks), min_size=1, max_size=4, unique=True))
    part = tree.for_tasks(tasks)
    assert part.tasks == tuple(tasks)
    for layer in range(tree.num_layers):
        kept = {frozenset(b) & frozenset(tasks) for b in tree.branches(layer)} - {frozenset()}
        assert {frozenset(branch) for branch in part.branches(layer)} == kept


@given(architectures())
def test_from_arch_params_takes_the_most_probable_candidates(tree):
    routing = torch.tensor([tree.routing[task] for task in tree.tasks]).T
    arch_params = torch.nn.functional.one_hot(routing).float().requires_grad_()
    found = BranchedArchitecture.from_arch_params(arch_params, tree.tasks, ENCODER)
    assert found.routing == tree.routing


def test_from_arch_params_takes_the_first_on_a_tie():
    tree = BranchedArchitecture.from_arch_params(np.zeros((4, 3, 3)), NAMES[:3], ENCODER)
    assert tree == BranchedArchitecture.shared(NAMES[:3], ENCODER, 4)


def test_extremes():
    shared = BranchedArchitecture.shared(NAMES[:3], ENCODER, 2)
    apart = BranchedArchitecture.all_apart(NAMES[:3], ENCODER, 2)
    assert shared.branches(1) == (('task0', 'task1', 'task2'),)
    assert apart.branches(0) == (('task0',), ('task1',), ('task2',))
    assert apart.routing == {'task0': (0, 0), 'task1': (1, 1), 'task2': (2, 2)}
    assert shared != apart


def test_tasks_and_encoder_tell_architectures_apart():
    tree = BranchedArchitecture.shared(['a', 'b'], ENCODER, 2)
    assert tree != BranchedArchitecture.shared(['b', 'a'], ENCODER, 2)
    assert tree != BranchedArchitecture.shared(['a', 'b'], {'type': 'ResNetEncoder'}, 2)
    assert tree == BranchedArchitecture.shared(['a', 'b'], ENCODER, 2, source='elsewhere')
    assert tree != 'tree'


def test_later_changes_of_the_arguments_have_no_effect():
    encoder = {'type': 'Encoder', 'out_indices': [1, 2]}
    tree = BranchedArchitecture.shared(['a'], encoder, 2)
    encoder['out_indices'].append(3)
    assert tree.encoder['out_indices'] == [1, 2]


@pytest.mark.parametrize(
    ('tasks', 'encoder', 'routing', 'message'),
    [
        ([], ENCODER, {}, 'tasks: found'),
        (['a', 'a'], ENCODER, {'a': [0]}, 'tasks: found .* different identifiers'),
        (['a b'], ENCODER, {'a b': [0]}, 'different identifiers'),
        ([f't{i}' for i in range(65)], ENCODER, {f't{i}': [0] for i in range(65)}, '1 to 64'),
        (['a', 'b'], ENCODER, {'a': [0]}, r"routing has the tasks \['a'\], expected \['a', 'b'\]"),
        (['a', 'b'], ENCODER, {'a': [0, 1], 'b': [0]}, 'routing.b: found 1, expected 2'),
        (['a'], ENCODER, {'a': [0.5]}, 'integers from 0'),
        (['a'], ENCODER, {'a': [-1]}, 'integers from 0'),
        (['a'], ENCODER, {'a': []}, 'num_layers: found 0'),
        (['a'], {'widen_factor': 1.0}, {'a': [0]}, 'encoder: .* "type"'),
        (['a'], {'type': 'E', 'norm': float('nan')}, {'a': [0]}, 'encoder must hold JSON'),
        (['a'], {'type': 'E', 'norm': object()}, {'a': [0]}, 'encoder must hold JSON'),
    ],
)
def test_refuses_what_is_no_architecture(tasks, encoder, routing, message):
    with pytest.raises(ValueError, match=message):
        BranchedArchitecture.from_routing(tasks, encoder, routing)


def test_refuses_groupings_that_form_no_tree():
    apart, shared = TaskGrouping.all_apart(2), TaskGrouping.shared(2)
    with pytest.raises(ValueError, match=r'1: \{0,1\} merges tasks that were apart in layer 0'):
        BranchedArchitecture.from_groupings(['a', 'b'], ENCODER, [apart, shared])
    with pytest.raises(ValueError, match='layer 0 groups 2 tasks, expected 1'):
        BranchedArchitecture.from_groupings(['a'], ENCODER, [shared])


@pytest.mark.parametrize('shape', [(3, 2), (4, 3, 2), (4, 2, 0), (0, 2, 2)])
def test_refuses_arch_params_of_another_shape(shape):
    with pytest.raises(ValueError, match='expected \\(layers, 2 tasks, candidates\\)'):
        BranchedArchitecture.from_arch_params(np.zeros(shape), ['a', 'b'], ENCODER)


def test_refuses_arch_params_that_are_not_finite():
    with pytest.raises(ValueError, match='not finite'):
        BranchedArchitecture.from_arch_params(torch.full((1, 1, 1), torch.nan), ['a'], ENCODER)


def test_refuses_unknown_tasks():
    with pytest.raises(ValueError, match=r"no tasks \['c'\]"):
        BranchedArchitecture.shared(['a', 'b'], ENCODER, 1).for_tasks(['c'])
