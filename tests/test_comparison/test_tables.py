"""Tables for a paper, from rows computed by hand."""

import csv
import math

import pytest

from mmbmtas.comparison.results import Row
from mmbmtas.comparison.tables import write_tables
from mmbmtas.evaluation import HeadlineMetric, HumanPartsMetric, NormalsMetric

HEADLINES = [HumanPartsMetric.headline_of(), NormalsMetric.headline_of()]
T_975_1 = math.tan(math.pi * 0.475)  # Student's t with one degree of freedom is Cauchy's: 12.71


def row(model, kind, seed, gain, parts, **numbers):
    metrics = {'human_parts/mIoU': parts, 'normals/mean': 20.0 - seed}
    numbers = {'delta_m': gain, 'madds': 6e9, 'params': 2e6, **numbers}
    return Row(f'{model}_{seed}', model, kind, seed, metrics=metrics, numbers=numbers)


ROWS = [
    row('single', 'single', 0, 0.0, 50.0, madds=1.2e10),
    row('single', 'single', 1, 0.0, 50.0, madds=1.2e10),
    row('our_tree & co', 'searched', 0, 3.0, 51.0),
    row('our_tree & co', 'searched', 1, 5.0, 53.0),
    row('shared', 'shared', 0, 1.0, 52.001),
    Row('lost_0', 'lost', 'tree', 0, status='failed'),
]
MODELS = ['single', 'our_tree & co', 'shared', 'lost']


def lines(path):
    """The cells of a table's lines between its rules, without the head."""
    body = path.read_text().split('\\midrule\n')[1].split('  \\bottomrule')[0]
    return [[cell.strip() for cell in line.split(' & ')] for line in body.split('\\\\\n') if line]


def test_means_intervals_and_the_best_in_bold(tmp_path):
    write_tables(tmp_path, ROWS, MODELS, HEADLINES)
    single, searched, shared = lines(tmp_path / 'table.tex')
    half = T_975_1 * math.sqrt(2) / math.sqrt(2)  # of two values, 2 apart
    assert single == [
        'single',
        '$50.00$',
        f'$\\mathbf{{19.50}} \\pm {half / 2:.2f}$',
        '$+0.00$',
        '$12000.0$',
        '$2.00$',
    ]
    # 52.00 and 52.001 print alike, so both are the best; the normals' least error is.
    assert searched[:2] == ['our\\_tree \\& co', f'$\\mathbf{{52.00}} \\pm {half:.2f}$']
    assert searched[3] == f'$\\mathbf{{+4.00}} \\pm {half:.2f}$'
    assert shared[1:4] == ['$\\mathbf{52.00}$', '$20.00$', '$+1.00$']
    text = (tmp_path / 'table.tex').read_text()
    assert 'human parts & normals' in text
    assert 'mIoU (\\%) $\\uparrow$ & mean (\\textdegree{}) $\\downarrow$' in text
    assert '\\begin{tabular}{lrrrrr}' in text


def test_every_line_has_the_columns_of_its_table(tmp_path):
    for path in write_tables(tmp_path, ROWS, MODELS, HEADLINES):
        if path.suffix == '.tex':
            text = path.read_text()
            columns = len(text.split('\\begin{tabular}{')[1].split('}')[0])
            table = [line for line in text.splitlines() if line.endswith('\\\\')]
            assert {line.replace('\\&', '').count('&') for line in table} == {columns - 1}
            assert text.count('{') == text.count('}')
            assert text.count('$') % 2 == 0


def test_differences_are_paired_by_seed(tmp_path):
    write_tables(tmp_path, ROWS, MODELS, HEADLINES)
    single, shared = lines(tmp_path / 'differences.tex')
    assert single == ['single', '$+4.00$', f'$[{4 - T_975_1:+.2f}, {4 + T_975_1:+.2f}]$', '2']
    assert shared == ['shared', '$+2.00$', '--', '1']
    with (tmp_path / 'differences.csv').open() as file:
        numbers = [*csv.DictReader(file)]
    assert float(numbers[0]['low']) == pytest.approx(4 - T_975_1)
    assert numbers[1] == {'model': 'shared', 'mean': '2.0', 'low': '', 'high': '', 'pairs': '1'}


def test_numbers_keep_all_digits(tmp_path):
    write_tables(tmp_path, ROWS, MODELS, HEADLINES)
    with (tmp_path / 'table.csv').open() as file:
        found = {line['model']: line for line in csv.DictReader(file)}
    assert [*found] == MODELS[:3]
    assert float(found['shared']['human_parts/mIoU mean']) == 52.001
    assert found['shared']['human_parts/mIoU low'] == ''
    searched = found['our_tree & co']
    assert float(searched['delta_m deviation']) == pytest.approx(math.sqrt(2))
    assert float(searched['delta_m high']) == pytest.approx(4 + T_975_1)
    assert (searched['runs'], searched['latency_ms mean']) == ('2', '')


def test_without_a_search_there_is_one_table(tmp_path):
    odd = HeadlineMetric('heat_map/err', True, '', 1)
    rows = [Row('a', 'a', 'shared', 0, metrics={'heat_map/err': 0.25})]
    written = write_tables(tmp_path, rows, ['a'], [odd])
    assert [path.name for path in written] == ['table.tex', 'table.csv']
    assert lines(tmp_path / 'table.tex') == [['a', '$\\mathbf{0.2}$']]
    assert ' & err $\\downarrow$' in (tmp_path / 'table.tex').read_text()
