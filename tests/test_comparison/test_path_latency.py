"""Times of candidates: what is run, and a search that takes the table."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

from mmbmtas.comparison import path_latency
from mmbmtas.comparison.path_latency import measure_path_latency
from mmbmtas.cost import PathLatencyTable, path_costs
from mmbmtas.errors import InputError
from mmbmtas.launch.path_config import read_path_config
from mmbmtas.structures import PathArchitecture, is_zero

ROOT = Path(__file__).parents[2]
DOMAINS = ('digits', 'faces')


@pytest.fixture(scope='module')
def toy_table(toys):
    """A table of a small search's network, in which times are parameters by thousand."""
    model = toys.build(toys.path_search_config([*DOMAINS]))
    cost = model.network_cost
    return {
        'format': 'mmbmtas.latency',
        'version': 2,
        'domains': {domain: [*tasks] for domain, tasks in model.domains.items()},
        'encoder': model.backbone.encoder.to_config(),
        'shape': [*model.cost_shape],
        'stem_ms': 1.0,
        'candidates_ms': [[c.params / 1e3 for c in layer] for layer in cost.candidates],
        'context_ms': 2.0,
        'decoders_ms': {task: 3.0 for tasks in model.domains.values() for task in tasks},
        'measured': None,
    }


def test_each_part_has_its_time(monkeypatch):
    """A clock that counts the parts: each takes as many milliseconds as its place."""
    small = {'tasks': ['digits', 'faces'], 'model.backbone.encoder.per_block': 2}
    config = read_path_config(str(ROOT / 'configs/mpnas/search_pocket.py'), small)
    assert any(is_zero(candidate) for layer in config.candidates for candidate in layer)

    class Clock:
        def __init__(self, device, clock):
            self.count = 0

        def mark(self):
            self.count += 1

        def milliseconds(self):
            return [float(place) for place in range(self.count)]

    monkeypatch.setattr(path_latency, 'Marks', Clock)
    table = measure_path_latency(config, torch.device('cpu'), warmup=0, repeats=1)
    counts = [*map(len, config.candidates)]
    assert [len(row) for row in table.candidates_ms] == counts
    place = 1
    for layer, row in zip(config.candidates, table.candidates_ms, strict=True):
        for candidate, ms in zip(layer, row, strict=True):
            assert ms == (0 if is_zero(candidate) else place)
            place += 1
    assert table.stem_ms == 0.001  # rounded, but not to nothing
    assert table.context_ms == place
    assert [*table.decoders_ms.values()] == [*range(place + 1, place + 1 + len(config.tasks))]
    table.check_fits(config.domains, config.encoder.to_config(), counts, config.shape)


def test_the_tool_writes_and_prints_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LOCAL_RANK', '0')
    words = ['-o', 'l.json', '--device', 'cpu', '--warmup', '0', '--repeats', '1', '--fuse-conv-bn']
    config = ROOT / 'configs/mpnas/search_pocket.py'
    monkeypatch.setattr(sys, 'argv', ['measure_latency.py', str(config), *words])
    runpy.run_path(str(ROOT / 'tools/analysis_tools/measure_latency.py'), run_name='__main__')
    table = PathLatencyTable.load('l.json')
    assert table.measured['fuse_conv_bn']
    assert min(map(min, table.candidates_ms)) > 0  # none of these layers can be left out
    low = table.fixed_of('digits') + sum(map(min, table.candidates_ms))
    assert f'Paths of digits: {low:.3f} to' in capsys.readouterr().out


@pytest.mark.parametrize('cost', ['sampled', 'expected'])
def test_a_search_by_the_table_meets_its_budget(path_runner, toy_table, tmp_path, cost):
    table = PathLatencyTable.of(toy_table)
    ends = [sum(map(pick, table.candidates_ms)) for pick in (min, max)]
    target = table.fixed_of('digits') + sum(ends) / 4 + ends[0] / 2
    loop = {'latency': toy_table, 'target_latency_ms': target, 'cost': cost, 'weight_iters': 4}
    runner = path_runner(tmp_path / 'held', loop=loop)
    runner.train()
    paths = PathArchitecture.load(tmp_path / 'held' / 'architecture.json')
    for domain in DOMAINS:
        nodes = path_costs([paths.routing[domain]], table.table()).sum
        ms = table.fixed_of(domain) + nodes
        assert ms == pytest.approx(table.path(domain, paths.routing[domain]))
        assert ms == pytest.approx(target, rel=0.05)
    loop = runner.train_loop
    measured = loop.measured(paths)
    total = sum(table.path(domain, paths.routing[domain]) for domain in DOMAINS)
    assert measured['argmax_latency_ms'] == pytest.approx(total)
    assert ends[0] < measured['expected_latency_ms'] / 2 < table.fixed_of('digits') + ends[1]
    assert f'digits {table.path("digits", paths.routing["digits"]):.2f}' in loop.describe_cost(
        paths
    )


@pytest.mark.parametrize(
    ('change', 'options', 'message'),
    [
        ({}, {'target_latency_ms': None}, 'go together: expected both or neither'),
        ({}, {'latency': None}, 'go together: expected both or neither'),
        ({}, {'target_madds': 8e5}, 'target_madds .* and target_latency_ms .*: expected one of'),
        ({}, {'target_latency_ms': 1}, r'target_latency_ms of digits 1\.000 is out of reach'),
        ({'shape': [96, 96]}, {}, 'latency table is for another input size'),
        ({}, {'latency': 'none.json'}, 'none.json'),
    ],
)
def test_tables_and_targets_that_do_not_fit(
    path_runner, toy_table, tmp_path, change, options, message
):
    loop = {'latency': {**toy_table, **change}, 'target_latency_ms': 40.0, **options}
    with pytest.raises((InputError, FileNotFoundError), match=message):
        path_runner(tmp_path, loop=loop).train_loop  # noqa: B018
