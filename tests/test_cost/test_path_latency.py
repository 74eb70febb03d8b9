"""The table of measured times of candidates: its file, its sums, and what it refuses."""

import copy
import json

import pytest

from mmbmtas.cost import LatencyTable, PathLatencyTable
from mmbmtas.errors import InputError

DOCUMENT = {
    'format': 'mmbmtas.latency',
    'version': 2,
    'domains': {'digits': ['digits'], 'rooms': ['semseg', 'depth']},
    'encoder': {'type': 'E', 'width': 2},
    'shape': [48, 64],
    'stem_ms': 0.5,
    'candidates_ms': [[1, 1.5, 0.0], [2, 3]],
    'context_ms': 4,
    'decoders_ms': {'semseg': 10, 'depth': 20, 'digits': 30},
    'measured': {'device': 'a toy'},
}
TABLE = PathLatencyTable.from_dict(DOCUMENT)


def test_round_trip(tmp_path):
    path = tmp_path / 'latency.json'
    TABLE.save(path)
    assert PathLatencyTable.load(path) == PathLatencyTable.of(DOCUMENT) == TABLE
    assert json.loads(path.read_text()) == DOCUMENT == TABLE.to_dict()


def test_sums():
    assert TABLE.fixed_of('digits') == 0.5 + 4 + 30
    assert TABLE.fixed_of('rooms') == 0.5 + 4 + 10 + 20
    assert TABLE.path('digits', (1, 0)) == 34.5 + 1.5 + 2
    assert TABLE.path('rooms', (2, 1)) == 34.5 + 0 + 3
    assert TABLE.table().tolist() == [[1, 1.5, 0], [2, 3, 0]]


def test_it_is_for_one_network_only():
    network = {
        'domains': {'rooms': ('semseg', 'depth')},  # some of its domains
        'encoder': {'type': 'E', 'width': 2},
        'num_candidates': [3, 2],
        'shape': (48, 64),
    }
    TABLE.check_fits(**network)
    for key, other, message in (
        ('domains', {'birds': ('birds',)}, 'another list of domains'),
        ('domains', {'rooms': ('semseg',)}, 'another list of domains'),
        ('encoder', {'type': 'E', 'width': 1}, "another encoder .*'width': 2.*expected .*: 1"),
        ('num_candidates', [3, 3], r'another number of candidates .*\[3, 2\], expected \[3, 3\]'),
        ('shape', (64, 48), 'another input size'),
    ):
        with pytest.raises(InputError, match=message):
            TABLE.check_fits(**{**network, key: other})


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('version', 1, 'version: found 1, expected 2'),
        ('domains', {}, 'domains: found'),
        ('domains', {'a': ['x'], 'b': ['x']}, 'domains: .* each task once'),
        ('candidates_ms', [], 'candidates_ms: .*expected for each layer a list'),
        ('candidates_ms', [[1], []], 'candidates_ms'),
        ('candidates_ms', [[1, -1]], 'candidates_ms'),
        ('context_ms', 0, 'context_ms: found 0, expected a positive number'),
        ('decoders_ms', {'digits': 1}, 'decoders_ms'),
        ('layers_ms', [[1]], 'layers_ms: found an unknown key'),
    ],
)
def test_refuses_what_is_no_table(tmp_path, key, value, message):
    document = {**copy.deepcopy(DOCUMENT), key: value}
    (tmp_path / 'l.json').write_text(json.dumps(document))
    with pytest.raises(InputError, match=rf'l\.json: {message}'):
        PathLatencyTable.load(tmp_path / 'l.json')


def test_tables_of_trees_and_of_paths_are_not_exchanged():
    with pytest.raises(InputError, match='version: found 2, expected 1'):
        LatencyTable.from_dict(DOCUMENT)
