import runpy
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch

from mmbmtas.models.backbones import BranchedNetwork
from mmbmtas.structures import BranchedArchitecture, TaskGrouping
from mmbmtas.visualization import architecture as architecture_module
from mmbmtas.visualization.architecture import plot_architecture
from mmbmtas.visualization.tree import draw_layer_madds, draw_tree

ENCODER = {'type': 'MobileNetV2Encoder'}
SMALL = BranchedArchitecture.shared(
    ['semseg', 'depth'],
    {'type': 'MobileNetV2Encoder', 'widen_factor': 0.25, 'context_channels': 16},
    18,
)
TREE = BranchedArchitecture.from_groupings(
    ['semseg', 'depth', 'human_parts'],
    ENCODER,
    [TaskGrouping.shared(3), TaskGrouping(((0, 2), (1,))), TaskGrouping.all_apart(3)],
    madds={'shape': [64, 64], 'network': 2.5e9, 'layers': [1e9, 2e9, 3e9]},
)


@given(st.lists(st.lists(st.integers(0, 2), min_size=5, max_size=5), min_size=1, max_size=16))
@settings(max_examples=10)
def test_box_for_every_copy_and_line_for_every_task(routings):
    routing = {f'task_{i}': candidates for i, candidates in enumerate(routings)}
    tree = BranchedArchitecture.from_routing([*routing], ENCODER, routing)
    ax = Figure().subplots()
    draw_tree(ax, tree)
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    lines = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    copies = sum(grouping.num_groups for grouping in tree.groupings)
    assert len(boxes) == 1 + copies + len(routings)
    assert len({line.get_edgecolor() for line in lines}) == len(routings)
    assert {text.get_text() for text in ax.texts} == {t.replace('_', ' ') for t in routing}
    for x in range(7):
        column = sorted(
            (box.get_y(), box.get_y() + box.get_height())
            for box in boxes
            if round(box.get_x() + box.get_width() / 2) == x
        )
        for (_, bottom), (top, _) in pairwise(column):
            assert bottom < top


def test_boxes_frame_the_lines_of_their_tasks():
    ax = Figure().subplots()
    draw_tree(ax, TREE)
    lines = [patch.get_path() for patch in ax.patches if isinstance(patch, PathPatch)]
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    second = [box for box in boxes if round(box.get_x() + box.get_width() / 2) == 2]
    inside = [
        {
            task
            for task, line in enumerate(lines)
            if any(
                1.7 < x < 2 and box.get_y() < y < box.get_y() + box.get_height()
                for x, y in line.vertices
            )
        }
        for box in second
    ]
    assert inside == [{0, 2}, {1}]


def test_bars_add_up_to_the_copies_that_run():
    ax = Figure().subplots()
    draw_layer_madds(ax, TREE, [1e9, 2e9, 3e9])
    one, further = ([bar.get_height() for bar in bars] for bars in ax.containers)
    assert one == [1, 2, 3]
    assert further == [0, 2, 6]
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ['stem', '1', '2', '3', 'decoder']


def test_bars_add_up_to_the_title(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        architecture_module, 'save_figure', lambda figure, *_, **__: drawn.append(figure)
    )
    # 1 + 2 * 2 + 3 * 3 in layers, 6 in the stem and the decoders
    madds = {'shape': [64, 64], 'network': 20e9, 'layers': [1e9, 2e9, 3e9]}
    plot_architecture(replace(TREE, madds=madds), tmp_path / 'tree.png')
    bars = drawn[0].axes[1].containers
    assert sum(bar.get_height() for group in bars for bar in group) == pytest.approx(20)
    assert drawn[0].get_suptitle().endswith('20.00 billion multiply-adds at 64 x 64')
    (rest,) = bars[2]
    assert (rest.get_x() + rest.get_width() / 2, rest.get_height()) == (4, pytest.approx(6))


@pytest.mark.parametrize('suffix', ['.png', '.svg', '.pdf', '.PNG'])
def test_writes_pictures(tmp_path, suffix):
    path = tmp_path / 'new' / f'tree{suffix}'
    plot_architecture(TREE, path)
    assert path.stat().st_size > 1000


def test_picture_says_what_it_shows(tmp_path, monkeypatch):
    drawn = []
    save = Figure.savefig

    def note(figure, *args, **kwargs):
        drawn.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, 'savefig', note)
    plot_architecture(TREE, tmp_path / 'a.svg')
    plot_architecture(BranchedArchitecture.shared(['semseg'], ENCODER, 2), tmp_path / 'b.svg')
    titles = [figure.get_suptitle() for figure in drawn]
    assert titles[0] == 'MobileNetV2Encoder, 3 tasks: 2.50 billion multiply-adds at 64 x 64'
    assert titles[1] == 'MobileNetV2Encoder, 1 task'
    assert [len(figure.axes) for figure in drawn] == [2, 1]


def test_refuses_other_formats_and_costs(tmp_path):
    with pytest.raises(ValueError, match=r"not a picture format: '.txt', expected .png"):
        plot_architecture(TREE, tmp_path / 'tree.txt')
    with pytest.raises(ValueError, match='2 costs of layers, expected 3'):
        plot_architecture(TREE, tmp_path / 'tree.png', [1, 2])


def test_names_are_no_formulas(tmp_path):
    tree = BranchedArchitecture.shared(['a'], {'type': '$E'}, 1, layers=['$\\frac$'])
    plot_architecture(tree, tmp_path / 'tree.png')


def test_command_line(tmp_path, monkeypatch, capsys):
    tool = Path(__file__).parents[2] / 'tools/analysis_tools/plot_architecture.py'
    monkeypatch.chdir(tmp_path)
    TREE.save('architecture.json')
    monkeypatch.setattr(sys, 'argv', [str(tool), 'architecture.json', '-o', 'tree.svg'])
    runpy.run_path(str(tool), run_name='__main__')
    assert Path('tree.svg').is_file()
    state = {'state_dict': BranchedNetwork(SMALL).state_dict(prefix='backbone.')}
    torch.save(state, 'trained.pth')
    monkeypatch.setattr(sys, 'argv', [str(tool), 'trained.pth'])
    runpy.run_path(str(tool), run_name='__main__')
    assert Path('trained.png').is_file()
    monkeypatch.setattr(sys, 'argv', [str(tool), 'missing.json'])
    with pytest.raises(SystemExit):
        runpy.run_path(str(tool), run_name='__main__')
    assert capsys.readouterr().err.startswith('error: missing.json: No such file')
