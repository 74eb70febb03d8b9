import json
import runpy
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch

from mmbmtas.structures import PathArchitecture
from mmbmtas.visualization.architecture import architecture_image, plot_architecture
from mmbmtas.visualization.paths import SHARED, SINGLE, draw_paths, draw_similarity

TOOLS = Path(__file__).parents[2] / 'tools/analysis_tools'
BLOCKS = [{'kernel': 3, 'squeeze': False}, {'kernel': 5, 'squeeze': True}]
PATHS = PathArchitecture.from_routing(
    ['digits', 'faces', 'human_parts'],
    {'type': 'MobileNetV3PathEncoder'},
    {'digits': [0, 1, 2], 'faces': [0, 1, 0], 'human_parts': [1, 1, 0]},
    candidates=[BLOCKS, [*BLOCKS, {'zero': True}], [*BLOCKS, {'zero': True}]],
    madds={'shape': [64, 64], 'sum': 29_000_000, 'params': 1_500_000},
)


def boxes_of(ax):
    """Each node's box, by layer and candidate."""
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    return {
        (round(b.get_x() + b.get_width() / 2) - 1, round(b.get_y() + b.get_height() / 2)): b
        for b in boxes
        if b.get_x() > 0
    }


def test_nodes_say_by_how_many_they_are_passed():
    ax = Figure().subplots()
    draw_paths(ax, PATHS)
    boxes = boxes_of(ax)
    assert boxes.keys() == {(0, 0), (0, 1), *((la, c) for la in (1, 2) for c in range(3))}
    fills = {place: to_hex(box.get_facecolor()) for place, box in boxes.items()}
    passed = {(0, 0): 2, (0, 1): 1, (1, 1): 3, (2, 0): 2, (2, 2): 1}
    for place, box in boxes.items():
        if place in passed:
            assert fills[place] == (SHARED if passed[place] > 1 else SINGLE)
            assert box.get_linestyle() == '-'
        else:
            assert box.get_facecolor()[3] == 0
            assert box.get_linestyle() == ':'


def test_lines_pass_the_nodes_of_their_domain():
    ax = Figure().subplots()
    draw_paths(ax, PATHS)
    lines = [p for p in ax.patches if isinstance(p, PathPatch)]
    assert len({to_hex(line.get_edgecolor()) for line in lines}) == 3
    for line, path in zip(lines, PATHS.routing.values(), strict=True):
        flat = [
            (a[0], b[0], a[1])
            for a, b in pairwise(line.get_path().vertices)
            if a[1] == b[1] and b[0] - a[0] > 0.5
        ]
        stops = {round((start + end) / 2): height for start, end, height in flat}
        assert [round(stops[layer + 1]) for layer in range(3)] == [*path]


def test_rows_and_columns_have_names():
    ax = Figure().subplots()
    draw_paths(ax, PATHS)
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        'kernel 3',
        'kernel 5, squeeze',
        'left out',
    ]
    assert [t.get_text() for t in ax.get_xticklabels()] == ['stem', '1', '2', '3', 'decoder']
    assert {t.get_text() for t in ax.texts} == {'digits', 'faces', 'human parts'}
    other = PathArchitecture.from_routing(
        ['a'], {'type': 'E'}, {'a': [0, 0]}, candidates=[[{'kernel': 3}], BLOCKS]
    )
    ax = Figure().subplots()
    draw_paths(ax, other)
    assert [t.get_text() for t in ax.get_yticklabels()] == ['0', '1']


def test_similarity_is_drawn_as_a_matrix():
    ax = Figure().subplots()
    draw_similarity(ax, PATHS, PATHS.jaccard())
    assert [t.get_text() for t in ax.texts] == [f'{v:.2f}' for v in PATHS.jaccard().ravel()]


def test_writes_pictures_with_a_title(tmp_path, monkeypatch):
    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, 'savefig', lambda figure, *a, **k: drawn.append(figure) or save(figure, *a, **k)
    )
    plot_architecture(PATHS, tmp_path / 'paths.png')
    assert drawn[0].get_suptitle() == (
        'MobileNetV3PathEncoder, paths of 3 domains: 1.50 million parameters, '
        '29.0 million multiply-adds'
    )
    image = architecture_image(PATHS)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3


@pytest.mark.parametrize('options', [[], ['--without-zero']])
def test_command_lines(tmp_path, monkeypatch, capsys, options):
    monkeypatch.chdir(tmp_path)
    PATHS.save('architecture.json')
    tool = TOOLS / 'path_similarity.py'
    monkeypatch.setattr(sys, 'argv', [str(tool), 'architecture.json', *options])
    runpy.run_path(str(tool), run_name='__main__')
    rows = [line.split(',') for line in Path('similarity.csv').read_text().splitlines()]
    assert rows[0] == ['domain', 'digits', 'faces', 'human_parts']
    expected = PATHS.jaccard(zero_is_node=not options)
    np.testing.assert_allclose(
        [[float(v) for v in row[1:]] for row in rows[1:]], expected, atol=1e-4
    )
    assert Path('similarity.png').stat().st_size > 1000
    assert 'Wrote similarity.csv and similarity.png' in capsys.readouterr().out
    tool = TOOLS / 'plot_architecture.py'
    monkeypatch.setattr(sys, 'argv', [str(tool), 'architecture.json'])
    runpy.run_path(str(tool), run_name='__main__')
    assert Path('architecture.png').stat().st_size > 1000


def test_trees_have_no_similarity_of_paths(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    document = {**PATHS.to_dict(), 'version': 1}
    del document['sharing'], document['candidates']
    document['groupings'][2] = [['digits'], ['faces'], ['human_parts']]
    document['groupings'][1] = [['digits', 'faces'], ['human_parts']]
    Path('tree.json').write_text(json.dumps(document))
    tool = TOOLS / 'path_similarity.py'
    monkeypatch.setattr(sys, 'argv', [str(tool), 'tree.json'])
    with pytest.raises(SystemExit):
        runpy.run_path(str(tool), run_name='__main__')
    assert capsys.readouterr().err.startswith('error: tree.json: version: found 1, a tree')
