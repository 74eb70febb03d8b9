"""The table of measured times: its file, its sums, and what it refuses."""

import json

import pytest

from mmbmtas.cost import LatencyTable
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.structures.documents import MAX_BYTES

DOCUMENT = {
    'format': 'mmbmtas.latency',
    'version': 1,
    'tasks': ['semseg', 'depth', 'edge'],
    'encoder': {'type': 'E', 'width': 2},
    'shape': [48, 64],
    'stem_ms': 0.5,
    'layers_ms': [[1, 1.5, 2], [2, 3, 3.5], [4, 6, 7]],
    'decoders_ms': {'semseg': 10, 'depth': 20, 'edge': 30},
    'measured': {'device': 'a toy'},
}
TABLE = LatencyTable.from_dict(DOCUMENT)


def test_round_trip(tmp_path):
    path = tmp_path / 'latency.json'
    TABLE.save(path)
    assert LatencyTable.load(path) == TABLE
    assert json.loads(path.read_text()) == DOCUMENT == TABLE.to_dict()
    assert '    [2, 3, 3.5],' in path.read_text().splitlines()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_sums():
    routing = {'edge': [0, 1, 0], 'semseg': [0, 0, 0], 'depth': [0, 0, 1]}  # in another order
    tree = BranchedArchitecture.from_routing([*routing], {'type': 'E'}, routing)
    assert TABLE.fixed_ms == 60.5
    assert TABLE.shared() == 60.5 + 1 + 2 + 4
    assert TABLE.all_apart() == 60.5 + 2 + 3.5 + 7
    assert TABLE.tree(tree) == 60.5 + 1 + 3 + 7
    with pytest.raises(ValueError, match=r"tasks \['semseg'\] and 3 layers"):
        TABLE.tree(tree.for_tasks(['semseg']))


def test_it_is_for_one_network_only():
    network = {
        'tasks': ['edge', 'semseg', 'depth'],
        'encoder': {'type': 'E', 'width': 2},
        'num_layers': 3,
        'shape': (48, 64),
    }
    TABLE.check_fits(**network)
    for key, other, message in (
        ('tasks', ['edge', 'semseg'], 'another list of tasks'),
        ('encoder', {'type': 'E', 'width': 1}, "another encoder .*'width': 2.*expected .*: 1"),
        ('num_layers', 4, 'another number of layers than the config: 3, expected 4'),
        ('shape', (64, 48), r'another input size than the config: \(48, 64\), expected \(64, 48\)'),
    ):
        with pytest.raises(ValueError, match=message):
            TABLE.check_fits(**{**network, key: other})


def test_a_file_knows_no_tuples(tmp_path):
    """An encoder may have them in its config; its own table fits all the same."""
    encoder = {'type': 'E', 'rates': (1, 6)}
    LatencyTable.from_dict({**DOCUMENT, 'encoder': encoder}).save(tmp_path / 'latency.json')
    table = LatencyTable.load(tmp_path / 'latency.json')
    table.check_fits(table.tasks, encoder, 3, (48, 64))


def without(key):
    return {name: value for name, value in DOCUMENT.items() if name != key}


@pytest.mark.parametrize(
    ('document', 'message'),
    [
        ([], r'document: found \[\], expected a JSON object'),
        (DOCUMENT | {'format': 'mmbmtas.architecture'}, "expected 'mmbmtas.latency'"),
        (DOCUMENT | {'version': 2}, 'version: found 2, expected 1'),
        (without('stem_ms'), 'stem_ms: found nothing'),
        (DOCUMENT | {'unit': 's'}, 'unit: found an unknown key'),
        (DOCUMENT | {'tasks': ['a', 'a', 'b']}, 'tasks: found'),
        (DOCUMENT | {'encoder': {}}, 'encoder: found'),
        (DOCUMENT | {'shape': [48]}, 'shape: found'),
        (DOCUMENT | {'shape': [0, 64]}, 'shape: found'),
        (DOCUMENT | {'stem_ms': 0}, 'stem_ms: found 0, expected a positive number'),
        (DOCUMENT | {'stem_ms': True}, 'stem_ms: found True'),
        (DOCUMENT | {'stem_ms': '1'}, "stem_ms: found '1'"),
        (DOCUMENT | {'layers_ms': []}, 'layers_ms: found'),
        (DOCUMENT | {'layers_ms': [[1, -2, 3]]}, 'layers_ms: found'),
        (
            DOCUMENT | {'layers_ms': [[1, 2, 3], [1, 2]]},
            r'layers_ms\[1\]: found \[1, 2\], expected 3',
        ),
        (DOCUMENT | {'decoders_ms': {'semseg': 1}}, r"decoders_ms: found \['semseg'\]"),
        (DOCUMENT | {'decoders_ms': [1, 2, 3]}, 'decoders_ms: found'),
        (DOCUMENT | {'measured': 'here'}, 'measured: found'),
    ],
)
def test_anything_else_is_refused(document, message, tmp_path):
    (tmp_path / 'x.json').write_text(json.dumps(document))
    with pytest.raises(ValueError, match=rf'x\.json: {message}|x\.json: .*{message}'):
        LatencyTable.load(tmp_path / 'x.json')


@pytest.mark.parametrize(
    'text', ['', 'ms', '{"stem_ms": NaN}', '{"a": 1, "a": 2}', ' ' * (MAX_BYTES + 1), '{} {}']
)
def test_what_is_no_document(text, tmp_path):
    (tmp_path / 'x.json').write_text(text)
    with pytest.raises(ValueError, match=r'x\.json: '):
        LatencyTable.load(tmp_path / 'x.json')
