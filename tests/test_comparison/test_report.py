"""The report's numbers, from rows computed by hand, and its pictures."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from mmbmtas.comparison import report
from mmbmtas.comparison.budget_report import budgets_block
from mmbmtas.comparison.report import (
    paired_differences,
    read_paper,
    summarise,
    write_report,
)
from mmbmtas.comparison.results import Row
from mmbmtas.evaluation import HeadlineMetric, NormalsMetric, SemSegMetric
from mmbmtas.evaluation.functional import delta_m
from mmbmtas.structures import BranchedArchitecture, TaskGrouping
from mmbmtas.visualization.comparison import plot_pareto
from mmbmtas.visualization.document import (
    Code,
    Grid,
    Heading,
    Paragraph,
    Picture,
    to_html,
    to_markdown,
)

TASKS = ('semseg', 'normals')
HEADLINES = [SemSegMetric.headline_of(), NormalsMetric.headline_of()]


def row(model, kind, seed, gain, member=0, **numbers):
    metrics = {'semseg/mIoU': 50 + gain, 'normals/mean': 20.0 - seed}
    numbers = {'delta_m': gain, 'madds': 6e9, 'madds_paper': 5.9e9, 'params': 2e6, **numbers}
    name = f'{model}_seed{seed}' + (f'_{member}' if member else '')
    return Row(name, model, kind, seed, member, metrics=metrics, numbers=numbers)


@pytest.fixture
def rows():
    failed = Row('lost_seed0', 'lost', 'shared', 0, 0, 'failed')
    failed.error = 'lost_seed0/train: first line\nerror: a | <nothing> left'
    return [
        row('single', 'single', 0, 0.0, madds=1.2e10),
        row('single', 'single', 1, 0.0, madds=1.2e10),
        row('searched', 'searched', 0, 3.0, latency_ms=4.0, tree_seconds=70.0),
        row('searched', 'searched', 1, 5.0, latency_ms=6.0, tree_seconds=70.0),
        row('random', 'random', 0, 1.0, 1),
        row('random', 'random', 0, 2.0, 2),
        row('random', 'random', 1, 6.0, 1),
        row('bmn', 'bmn', 1, 2.0),
        failed,
    ]


MODELS = ['single', 'searched', 'random', 'bmn', 'lost', 'unborn']


def cells(text, name):
    """The cells of the first table row of a name."""
    line = next(line for line in text.splitlines() if line.startswith(f'| {name} |'))
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_means_and_deviations_over_the_runs(rows):
    single, searched, random, bmn, lost = summarise(rows, MODELS)
    assert searched.of('delta_m') == (4.0, pytest.approx(2**0.5))
    assert random.of('delta_m') == (3.0, pytest.approx(7**0.5))
    assert bmn.of('delta_m') == (2.0, None)
    assert searched.of('normals/mean') == (19.5, pytest.approx(0.5**0.5))
    assert random.of('latency_ms') is None
    assert lost.of('delta_m') is None
    assert (len(lost.done), len(lost.failed), single.model) == (0, 1, 'single')


def test_a_number_that_some_runs_lack_is_of_the_others(rows, tmp_path):
    del rows[3].numbers['delta_m']  # as where a single-task network has failed
    rows[4].metrics['semseg/mIoU'] = math.nan
    summary = summarise(rows, ['searched'])[0]
    assert summary.of('delta_m') == (3.0, None)
    assert summary.cell('delta_m', 1, sign=True) == '+3.0 (1 of 2)'
    assert summary.cell('madds', 1, 1e-6) == '6000.0'
    assert summarise(rows, ['random'])[0].cell('semseg/mIoU', 2) == '54.00 ± 2.83 (2 of 3)'
    assert summarise(rows, ['lost'])[0].cell('delta_m', 1) == ''


def test_pairs_share_a_seed_and_several_trees_count_by_their_mean(rows):
    assert paired_differences(rows, 'searched', 'random') == [3 - 1.5, 5 - 6]
    assert paired_differences(rows, 'searched', 'bmn') == [3]
    assert paired_differences(rows, 'searched', 'lost') == []


@pytest.fixture
def folder(tmp_path):
    """A folder of results with trees and affinities."""
    encoder = {'type': 'MobileNetV2Encoder'}
    for name, kind in (('searched_seed0', 1), ('searched_seed1', 3), ('random_seed0_1', 2)):
        shared, apart = TaskGrouping.shared(2), TaskGrouping.all_apart(2)
        groupings = [shared] * kind + [apart] * (4 - kind)
        tree = BranchedArchitecture.from_groupings(TASKS, encoder, groupings)
        tree.save(tmp_path / 'trees' / f'{name}.json')
    (tmp_path / 'affinities').mkdir()
    np.save(tmp_path / 'affinities' / 'bmn_seed1.npy', np.full((4, 2, 2), 0.5))
    return tmp_path


def test_the_report(rows, folder, monkeypatch):
    missed = [Paragraph('searched_seed0 misses its budget')]
    monkeypatch.setattr(report, 'budgets_block', lambda *_: missed)
    paper = {
        'title': 'some table',
        'columns': ['MAdds B', 'x'],
        'rows': {'theirs': [[6.0, 0.5], None]},
    }
    written = write_report(folder, 'Some title', 'python it', rows, MODELS, HEADLINES, paper)
    names = ['pareto.png', 'search_time.png', 'trees.png', 'affinities.png']
    names += ['report.md', 'report.html']
    assert [path.name for path in written] == names
    assert all(path.stat().st_size > 1000 for path in written)
    assert all((folder / name).with_suffix('.pdf').is_file() for name in names[:4])
    text = (folder / 'report.md').read_text()
    header = cells(text, 'model')
    assert header[2:5] == ['semseg mIoU % ↑', 'normals mean ° ↓', 'Δm % ↑']
    assert cells(text, 'searched') == [
        *('searched', '2', '54.00 ± 1.41', '19.50 ± 0.71', '+4.00 ± 1.41', '6000.0'),
        *('5900.0', '2.000', '5.0 ± 1.4', '70', ''),
    ]
    assert cells(text, 'bmn')[:5] == ['bmn', '1', '52.00', '19.00', '+2.00']
    assert cells(text, 'lost')[:3] == ['lost', '0', '']
    assert '| random | +0.25 | -15.63 to +16.13 | none shown | +1.50, -1.00 |' in text
    assert '| bmn | +3.00 |  | one pair only | +3.00 |' in text
    assert '| theirs | 6.0 ± 0.5 |  |' in text
    assert 'Printed in the paper, not computed here' in text
    assert (
        'lost_seed0 failed:\n\n```\nlost_seed0/train: first line\nerror: a | <nothing> left\n```'
        in text
    )
    assert '```\npython it\n```' in text
    assert 'Tree of searched_seed1' in text
    assert 'searched_seed0 misses its budget' in text
    page = (folder / 'report.html').read_text()
    assert '&lt;nothing&gt;' in page
    assert page.count('src="data:image/png;base64,') == 4
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_missed_budgets(rows, folder):
    """As the searched trees' files say; of the others, and of other kinds, nothing is said."""
    summaries = summarise(rows, MODELS)
    assert budgets_block(folder, summaries) == []
    for name in ('searched_seed1', 'random_seed0_1'):
        path = folder / 'trees' / f'{name}.json'
        content = json.loads(path.read_text())
        content['source'] = {'method': 'random'}
        if name == 'searched_seed1':
            content['source'] = {'budget_missed': 'The tree misses the budget: 12.5% above'}
        path.write_text(json.dumps(content))
    text = to_markdown(budgets_block(folder, summaries))
    assert '## Missed budgets' in text
    assert '| searched_seed1 | The tree misses the budget: 12.5% above |' in text
    assert text.count('_seed') == 1


def test_search_times_are_drawn_of_searched_trees_alone(rows, tmp_path, monkeypatch):
    drawn = {}

    def note(points, path, **labels):
        drawn[path.name] = [(p.name, p.cost, p.cost_deviation, p.gain_deviation) for p in points]
        plot_pareto(points, path, **labels)

    monkeypatch.setattr(report, 'plot_pareto', note)
    rows[3].numbers['tree_seconds'] = 76.0
    rows[4].numbers['tree_seconds'] = 3.0
    write_report(tmp_path, 'T', 'c', rows, MODELS, HEADLINES)
    deviation = pytest.approx(2**0.5)
    assert drawn['search_time.png'] == [('searched', 73, pytest.approx(18**0.5), deviation)]
    assert '![Δm of the searched trees' in (tmp_path / 'report.md').read_text()
    (tmp_path / 'search_time.png').unlink()
    others = [row for row in rows if row.kind != 'searched']
    write_report(tmp_path, 'T', 'c', others, MODELS, HEADLINES)
    assert not (tmp_path / 'search_time.png').exists()
    assert 'search_time' not in (tmp_path / 'report.md').read_text()


def test_a_report_of_failures_alone(rows, tmp_path):
    written = write_report(tmp_path, 'T', 'c', [rows[-1]], ['lost'], HEADLINES)
    assert [path.name for path in written] == ['report.md', 'report.html']


def test_blocks(tmp_path):
    (tmp_path / 'a.png').write_bytes(b'picture')
    grid = Grid(['a|c', 'b'], [['x|y', '<1>']], text_columns=(1,))
    blocks = [Heading('T', 1), Paragraph('p'), Code('c'), grid, Picture(tmp_path / 'a.png', 'cap')]
    assert to_markdown(blocks) == (
        '# T\n\np\n\n```\nc\n```\n\n'
        '| a\\|c | b |\n| --- | --- |\n| x\\|y | <1> |\n\n![cap](a.png)\n\ncap\n'
    )
    page = to_html(blocks)
    assert '<td>x|y</td><td class=text>&lt;1&gt;</td>' in page
    assert '<title>T</title>' in page


def test_paper_figures_of_another_form(tmp_path):
    path = tmp_path / 'paper.json'
    for content, message in (
        ([], 'expected an object with title'),
        ({'title': '', 'columns': ['a'], 'rows': {'m': [1, 2]}}, 'm has 2 numbers, expected 1'),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            read_paper(path)


PAPER = sorted((Path(__file__).parents[2] / 'configs' / 'compare' / 'paper').glob('*.json'))


@pytest.mark.parametrize('path', PAPER, ids=lambda path: path.stem)
def test_figures_of_the_paper_agree_with_its_delta_m(path):
    """Delta_m follows from the other numbers of a row, but for their rounding."""
    paper = read_paper(path)
    lower = {column: column in ('normals mean', 'depth rmse') for column in paper['columns'][1:-1]}
    rows = {
        name: [value[0] if isinstance(value, list) else value for value in row]
        for name, row in paper['rows'].items()
    }
    single = dict(zip(lower, rows['Single'][1:-1], strict=True))
    for name, row in rows.items():
        values = dict(zip(lower, row[1:-1], strict=True))
        assert delta_m(values, single, lower) == pytest.approx(row[-1], abs=0.03), name


def test_units_of_a_users_metric(rows, tmp_path):
    own = HeadlineMetric('height/noise', lower_is_better=True, unit='dB', digits=1)
    plain = HeadlineMetric('semseg/mIoU', lower_is_better=False, unit='', digits=0)
    for entry in rows:
        entry.metrics['height/noise'] = 12.34
    write_report(tmp_path, 'Title', 'command', rows, ['searched'], [own, plain])
    text = (tmp_path / 'report.md').read_text()
    assert '| height noise dB ↓ | semseg mIoU ↑ |' in text
    assert '| 12.3 | 54 ± 1 |' in text
