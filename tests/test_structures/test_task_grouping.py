import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbmtas.structures import TaskGrouping, all_groupings

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=7)


@given(LABELS)
def test_tasks_share_a_group_iff_their_labels_agree(labels):
    grouping = TaskGrouping.from_labels(labels)
    for a, label in enumerate(labels):
        mates = tuple(b for b, other in enumerate(labels) if other == label)
        assert grouping.group_of(a) == mates
        assert grouping.groups[grouping.labels[a]] == mates
    assert grouping.num_groups == len(set(labels))
    assert grouping.num_tasks == len(labels)


@given(LABELS, st.randoms())
def test_is_canonical_however_it_is_written(labels, random):
    grouping = TaskGrouping.from_labels(labels)
    groups = [random.sample(group, len(group)) for group in grouping.groups]
    random.shuffle(groups)
    assert TaskGrouping(tuple(groups)) == grouping
    assert hash(TaskGrouping(tuple(groups))) == hash(grouping)


@given(st.data())
def test_refines_means_tasks_together_are_together_there(data):
    labels = data.draw(LABELS)
    others = data.draw(st.lists(st.integers(0, 3), min_size=len(labels), max_size=len(labels)))
    fine, coarse = TaskGrouping.from_labels(labels), TaskGrouping.from_labels(others)
    tasks = range(len(labels))
    implied = all(others[a] == others[b] for a in tasks for b in tasks if labels[a] == labels[b])
    assert fine.refines(coarse) == implied
    assert TaskGrouping.from_labels(zip(labels, others, strict=True)).refines(coarse)
    assert TaskGrouping.all_apart(len(labels)).refines(fine)
    assert fine.refines(TaskGrouping.shared(len(labels)))


@pytest.mark.parametrize(
    ('num_tasks', 'bell'), [(1, 1), (2, 2), (3, 5), (4, 15), (5, 52), (6, 203)]
)
def test_all_groupings_are_bell_number_many(num_tasks, bell):
    groupings = list(all_groupings(num_tasks))
    assert len(groupings) == len(set(groupings)) == bell
    assert groupings[0] == TaskGrouping.shared(num_tasks)
    assert groupings[-1] == TaskGrouping.all_apart(num_tasks)


def test_refinements_are_all_groupings_that_refine():
    for grouping in all_groupings(4):
        refinements = list(grouping.refinements())
        assert len(refinements) == len(set(refinements))
        assert set(refinements) == {k for k in all_groupings(4) if k.refines(grouping)}


def test_restricted_to_renumbers():
    grouping = TaskGrouping(((0, 3), (1, 2)))
    assert grouping.restricted_to([3, 1, 2]) == TaskGrouping(((0,), (1, 2)))


@pytest.mark.parametrize('groups', [(), ((),), ((0,), (0, 1)), ((0,), (2,)), ((1,),), ((0,), ())])
def test_refuses_what_is_no_partition(groups):
    with pytest.raises(ValueError, match='not a partition'):
        TaskGrouping(groups)


def test_refuses_other_tasks():
    with pytest.raises(ValueError, match='different numbers of tasks'):
        TaskGrouping.shared(2).refines(TaskGrouping.shared(3))
    with pytest.raises(ValueError, match='no task 2'):
        TaskGrouping.shared(2).group_of(2)
