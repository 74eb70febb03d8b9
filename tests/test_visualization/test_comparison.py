"""Pictures of several models side by side."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmbmtas.structures import BranchedArchitecture, TaskGrouping
from mmbmtas.visualization.affinity import plot_affinities_and_tree
from mmbmtas.visualization.comparison import Point, pareto_front, plot_pareto, plot_trees

ENCODER = {'type': 'MobileNetV2Encoder'}


def tree(shared_layers, tasks=('a', 'b', 'c'), num_layers=4):
    groupings = [TaskGrouping.shared(len(tasks))] * shared_layers
    groupings += [TaskGrouping.from_labels([0, 1, 0][: len(tasks)])] * (num_layers - shared_layers)
    return BranchedArchitecture.from_groupings(tasks, ENCODER, groupings)


def test_the_front_of_some_points():
    points = [Point('b', 2, 5), Point('a', 1, 3), Point('worse', 2, 4), Point('c', 4, 6)]
    points += [Point('dearer', 3, 5), Point('twin', 1, 3)]
    assert [point.name for point in pareto_front(points)] == ['a', 'twin', 'b', 'c']


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_rises_and_leaves_nothing_better_out(pairs):
    points = [Point(str(index), cost, gain) for index, (cost, gain) in enumerate(pairs)]
    front = pareto_front(points)
    steps = sorted({(point.cost, point.gain) for point in front})
    assert all(low[1] < high[1] for low, high in pairwise(steps))
    assert len({cost for cost, _ in steps}) == len(steps)
    for point in points:
        assert any(other.cost <= point.cost and other.gain >= point.gain for other in front)


def size(path):
    with Image.open(path) as picture:
        assert len(np.unique(np.asarray(picture.convert('RGB')).reshape(-1, 3), axis=0)) > 10
        return picture.size


def test_the_picture_of_costs(tmp_path):
    points = [Point(f'm{i}', i, -i, i / 10 or None, None if i % 2 else 0.5) for i in range(20)]
    plot_pareto(points, tmp_path / 'pareto.png')
    assert min(size(tmp_path / 'pareto.png')) > 300
    with pytest.raises(ValueError, match='no models'):
        plot_pareto([], tmp_path / 'none.png')


def test_trees_side_by_side(tmp_path):
    trees = {f't{index}': tree(index) for index in range(4)}
    plot_trees(trees, tmp_path / 'four.png')
    plot_trees({'one': tree(2)}, tmp_path / 'one.png')
    four, one = size(tmp_path / 'four.png'), size(tmp_path / 'one.png')
    assert four == (2 * one[0], 2 * one[1])
    with pytest.raises(ValueError, match='no trees'):
        plot_trees({}, tmp_path / 'none.png')


def test_groups_are_framed_where_they_stand(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    frames, matrices = [], []
    add, show = Axes.add_patch, Axes.imshow

    def note_frame(axes, patch):
        if hasattr(patch, 'get_xy') and axes.images:
            frames.append((patch.get_x(), patch.get_width()))
        return add(axes, patch)

    def note_matrix(axes, values, **options):
        matrices.append(values)
        return show(axes, values, **options)

    monkeypatch.setattr(Axes, 'add_patch', note_frame)
    monkeypatch.setattr(Axes, 'imshow', note_matrix)
    values = np.arange(4 * 9).reshape(4, 3, 3) / 36
    plot_affinities_and_tree(values, tree(2), tmp_path / 'a.png', max_layers=2)
    size(tmp_path / 'a.png')
    # First layer: all of them; last: a and c, then b alone.
    assert frames == [(-0.5, 3), (-0.5, 2), (1.5, 1)]
    np.testing.assert_array_equal(matrices[0], values[0][np.ix_([0, 2, 1], [0, 2, 1])])
    np.testing.assert_array_equal(matrices[1], values[3][np.ix_([0, 2, 1], [0, 2, 1])])
    with pytest.raises(ValueError, match='expected 4 layers, 3 tasks'):
        plot_affinities_and_tree(values[:2], tree(2), tmp_path / 'b.png')
