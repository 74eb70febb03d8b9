"""Drawings of dense prediction cells."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from mmbmtas.structures import DenseCell
from mmbmtas.visualization.cells import draw_cell

ROOT = Path(__file__).parents[2]
FOUND = ROOT / 'configs' / 'cells' / 'dpc_cityscapes.json'


@pytest.fixture
def drawn(monkeypatch):
    """Figures that are saved, in place of their files."""
    figures = []

    def save(figure, path, **options):
        figures.append(figure)
        Path(path).touch()

    monkeypatch.setattr(Figure, 'savefig', save)
    return figures


def test_branches_are_below_what_they_read_and_lines_do_not_cross(drawn, tmp_path):
    # 0 <- F; 1 <- 0; 2 <- F; 3 <- 0; 4 <- 2: drawn row by row in their order, lines would cross.
    conv = {'op': 'conv', 'kernel': 1}
    cell = DenseCell.from_dict([{'input': read, **conv} for read in (-1, 0, -1, 0, 2)])
    draw_cell(cell, tmp_path / 'cell.png')
    (axes,) = drawn[0].axes
    places = {text.get_text().partition(':')[0]: text.get_position() for text in axes.texts}
    assert {name: y for name, (_, y) in places.items()} == {
        **{'features': 0, '0': -1, '2': -1},
        **{'1': -2, '3': -2, '4': -2},
    }
    assert places['1'][0] < places['3'][0] < places['4'][0]
    assert places['0'][0] == (places['1'][0] + places['3'][0]) / 2 < places['2'][0]
    lines = {tuple(zip(*line.get_data(), strict=True)) for line in axes.lines}
    ends = [('features', '0'), ('0', '1'), ('features', '2'), ('0', '3'), ('2', '4')]
    assert lines == {(places[above], places[below]) for above, below in ends}


def test_the_tool_draws_our_files_and_public_ones(tmp_path, monkeypatch, capsys):
    tool = ROOT / 'tools' / 'analysis_tools' / 'plot_architecture.py'
    monkeypatch.chdir(tmp_path)
    Path('public.json').write_text(json.dumps(json.loads(FOUND.read_text())['branches']))

    def run(*words):
        monkeypatch.setattr(sys, 'argv', [str(tool), *map(str, words)])
        runpy.run_path(str(tool), run_name='__main__')

    run(FOUND, '-o', 'cell.svg')
    assert 'rate 18x15' in Path('cell.svg').read_text()  # as a comment, beside the glyphs
    run('public.json')
    assert Path('public.png').stat().st_size > 1000
    for name, content, told in (
        ('broken.json', '[{"input": 3}]', 'error: broken.json: '),
        ('public.json', Path('public.json').read_text(), "not a picture format: '.txt'"),
    ):
        Path(name).write_text(content)
        with pytest.raises(SystemExit):
            run(name, '-o', 'cell.txt' if name == 'public.json' else 'cell.png')
        assert told in capsys.readouterr().err
