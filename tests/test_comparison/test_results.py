"""Rows, their file, and what is computed from them."""

import math

import pytest

from mmbmtas.comparison.results import (
    Row,
    half_interval,
    mean_and_deviation,
    read_rows,
    set_delta_m,
    write_rows,
)
from mmbmtas.evaluation import NormalsMetric, SemSegMetric

KEYS = ['semseg/mIoU', 'normals/mean']
HEADLINES = [SemSegMetric.headline_of(), NormalsMetric.headline_of()]


def row(model, seed, semseg, normals, **options):
    metrics = dict(zip(KEYS, (semseg, normals), strict=True))
    return Row(f'{model}_seed{seed}', model, 'shared', seed, metrics=metrics, **options)


def test_rows_come_back_as_they_were_written(tmp_path):
    path = tmp_path / 'results.csv'
    rows = [
        row('a', 0, 1 / 3, 20.0, numbers={'madds': 10**12, 'latency_ms': 0.25}, settings='0123'),
        Row('b_seed1_2', 'b', 'random', 1, 2, 'failed', error='error: a, "b"\n | c'),
        row('c', 2, math.nan, 1e-9, tree='1 x {a, b}', latency_place='CPU, 1 thread'),
    ]
    write_rows(rows, KEYS, path)
    assert [p.name for p in tmp_path.iterdir()] == ['results.csv']
    again = read_rows(path)
    assert again[:2] == rows[:2]
    assert math.isnan(again[2].metrics['semseg/mIoU'])
    assert (again[2].metrics['normals/mean'], again[2].tree) == (1e-9, '1 x {a, b}')
    assert path.read_text().splitlines()[1].startswith('a_seed0,a,shared,0,0,done,0.3333333333')
    assert ',1000000000000,' in path.read_text()
    write_rows(again, KEYS, tmp_path / 'again.csv')
    assert (tmp_path / 'again.csv').read_text() == path.read_text()


def test_no_file_no_rows_and_other_files_are_refused(tmp_path):
    assert read_rows(tmp_path / 'lost.csv') == []
    path = tmp_path / 'other.csv'
    path.write_text('run,model\na,b\n')
    with pytest.raises(ValueError, match=r"other\.csv is not a table of results.*'kind'"):
        read_rows(path)
    write_rows([row('a', 0, 1.0, 2.0)], KEYS, path)
    path.write_text(path.read_text().replace('a_seed0,a,shared,0', 'a_seed0,a,shared,zero'))
    with pytest.raises(ValueError, match='line 2: not a row of results'):
        read_rows(path)


def test_delta_m_is_against_the_mean_of_the_single_networks():
    rows = [
        row('single', 0, 55.0, 20.0),
        row('single', 1, 45.0, 30.0),
        row('m', 0, 55.0, 27.5),  # of 50 and 25: +10 % and -10 %
        row('m', 1, 55.0, 20.0),  # +10 % and +20 %
        row('m', 2, 55.0, 20.0),  # a seed without single-task networks
        row('n', 0, math.nan, 20.0),
        row('o', 0, 50.0, 25.0, numbers={'delta_m': 99.0}),
    ]
    rows.append(Row('p_seed0', 'p', 'shared', 0, 0, 'failed'))
    set_delta_m(rows, 'single', HEADLINES)
    found = [found.numbers.get('delta_m') for found in rows]
    assert found[5] is found[7] is None
    assert [*found[:5], found[6]] == pytest.approx([15, -15, 0, 15, 15, 0])
    set_delta_m(rows, None, HEADLINES)
    assert not any('delta_m' in found.numbers for found in rows)


def test_a_single_network_that_failed_is_not_in_the_mean():
    rows = [row('single', 0, 40.0, 20.0), row('single', 1, math.nan, 20.0), row('m', 1, 44.0, 20.0)]
    set_delta_m(rows, 'single', HEADLINES)
    assert rows[2].numbers['delta_m'] == pytest.approx(5)
    assert 'delta_m' not in rows[1].numbers


def test_single_networks_that_score_nothing_give_no_delta_m():
    rows = [row('single', 0, 0.0, 20.0), row('m', 0, 5.0, 20.0)]
    set_delta_m(rows, 'single', HEADLINES)
    assert 'delta_m' not in rows[1].numbers


def test_mean_and_deviation():
    assert mean_and_deviation([4.0]) == (4.0, None)
    mean, deviation = mean_and_deviation([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert mean == 5
    assert deviation == pytest.approx(math.sqrt(32 / 7))


def test_the_interval_is_students():
    # t(0.975) with 4 degrees of freedom is 2.7764451; the deviation of 1..5 is sqrt(2.5).
    assert half_interval([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(
        2.7764451 * math.sqrt(2.5) / math.sqrt(5)
    )
    assert half_interval([1.0]) is None
