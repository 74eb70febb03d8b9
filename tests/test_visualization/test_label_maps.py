"""Pictures and legends of label maps."""

import numpy as np
import pytest

from mmbmtas.structures.palettes import PARTS_PALETTE, class_palette
from mmbmtas.structures.tasks import TASKS, Task
from mmbmtas.visualization.label_maps import (
    IGNORED_COLOUR,
    VIRIDIS,
    describe_colours,
    draw_label,
    valid_range,
)


def test_voc_palette():
    palette = class_palette(22)
    assert palette[:4] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    assert palette[15] == (192, 128, 128)
    assert palette[20] == (0, 64, 128)
    assert len(set(class_palette(256))) == 256


def test_classes_take_the_palette():
    label = np.array([[0, 1], [2, 255]])
    picture = draw_label(TASKS['semseg'], label, [(1, 2, 3), (4, 5, 6)])
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[[1, 2, 3], [4, 5, 6]], [list(IGNORED_COLOUR)] * 2]
    parts = draw_label(TASKS['human_parts'], np.array([[1, 6]], np.uint8))
    assert [tuple(c) for c in parts[0].tolist()] == [PARTS_PALETTE[1], PARTS_PALETTE[6]]


def test_binary_maps_and_probabilities():
    picture = draw_label(TASKS['edge'], np.array([[0, 1, 255]]))
    assert picture[0].tolist() == [[0] * 3, [255] * 3, list(IGNORED_COLOUR)]
    picture = draw_label(TASKS['saliency'], np.array([[0.2, 1.7, -1]], np.float32))
    assert picture[0].tolist() == [[51] * 3, [255] * 3, [0] * 3]


def test_normals_become_colours():
    normals = np.array([[[0, 0, 5], [-1, 0, 0], [0, 0, 0]]], np.float32)
    picture = draw_label(TASKS['normals'], normals)
    assert picture[0].tolist() == [[128, 128, 255], [0, 128, 128], list(IGNORED_COLOUR)]


def test_depth_runs_through_viridis():
    depth = np.array([[0, 1, 2, 3, 9, np.nan]], np.float32)
    picture = draw_label(TASKS['depth'], depth, value_range=(1, 3))
    assert picture[0, 0].tolist() == list(IGNORED_COLOUR)
    assert picture[0, 1].tolist() == VIRIDIS[0].tolist()
    assert picture[0, 2].tolist() == VIRIDIS[127].tolist()
    assert picture[0, 3].tolist() == picture[0, 4].tolist() == VIRIDIS[255].tolist()
    assert picture[0, 5].tolist() == list(IGNORED_COLOUR)


def test_value_range_leaves_outliers_out():
    depth = np.linspace(1, 3, 1000, dtype=np.float32).reshape(20, 50)
    depth[0, :3] = [0, 80, np.nan]
    low, high = valid_range(TASKS['depth'], depth)
    assert 1 <= low < 1.1
    assert 2.9 < high <= 3
    assert valid_range(TASKS['depth'], np.zeros((2, 2))) == (0, 1)


def test_legend_lists_what_is_there_in_the_order_of_the_classes():
    truth = np.array([[0, 0, 0, 2, 255]])
    prediction = np.array([[2, 2, 2, 2, 1]])
    legend = describe_colours(TASKS['semseg'], [truth, prediction], ['background', 'cat'])
    assert [name for _, name in legend.entries] == ['background', 'cat', 'class 2', 'ignored']
    assert legend.entries[1][0] == (128, 0, 0)
    legend = describe_colours(TASKS['depth'], [np.ones((2, 2))], value_range=(1, 4))
    assert legend.scale == (1, 4, 'm')
    assert legend.entries == ()
    legend = describe_colours(Task('albedo', 'value'), [np.ones((2, 2))], value_range=(0, 1))
    assert legend.scale == (0, 1, '')


@pytest.mark.parametrize('name', list(TASKS))
def test_legend_names_every_colour_of_the_picture(name):
    rng = np.random.default_rng(0)
    task = TASKS[name]
    if task.kind in ('classes', 'binary'):
        label = rng.choice([0, 1, 255], (9, 9))
        picture = draw_label(task, label)
        legend = {colour for colour, _ in describe_colours(task, [label]).entries}
        assert {tuple(c) for c in picture.reshape(-1, 3).tolist()} == legend
    else:
        label = np.ones((9, 9, 3) if task.kind == 'normals' else (9, 9))
        assert 'ignored' not in dict(map(reversed, describe_colours(task, [label]).entries))
        label[0] = 0
        assert 'ignored' in dict(map(reversed, describe_colours(task, [label]).entries))
