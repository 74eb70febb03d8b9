import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbmtas.structures import BranchedArchitecture
from mmbmtas.structures.documents import MAX_BYTES

TREE = BranchedArchitecture.from_routing(
    ['semseg', 'depth', 'edge'],
    {'type': 'MobileNetV2Encoder', 'out_indices': [1, 2]},
    {'semseg': [0, 0, 1], 'depth': [0, 2, 1], 'edge': [0, 0, 0]},
    layers=['block1', 'block2', 'rassp'],
    madds={'shape': [512, 512], 'network': 12, 'network_paper': 11.5, 'layers': [1, 2, 3]},
    source={'config': 'search.py', 'iteration': 40000},
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'architecture.json'


def test_round_trip(path):
    TREE.save(path)
    loaded = BranchedArchitecture.load(path)
    assert loaded == TREE
    assert loaded.to_dict() == TREE.to_dict()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=1, max_size=16))
def test_round_trip_of_any_routing(routings):
    routing = {f't{i}': candidates for i, candidates in enumerate(routings)}
    tree = BranchedArchitecture.from_routing([*routing], {'type': 'E'}, routing)
    assert BranchedArchitecture.from_dict(json.loads(json.dumps(tree.to_dict()))) == tree


def test_file_has_one_layer_a_line(path):
    TREE.save(path)
    lines = path.read_text().splitlines()
    assert '    [["semseg", "edge"], ["depth"]],' in lines
    assert '    "depth": [0, 2, 1],' in lines
    assert len(lines) < 30


def test_save_leaves_the_old_file_when_it_fails(path, monkeypatch):
    path.write_text('old')
    monkeypatch.setattr('pathlib.Path.replace', lambda *_: (_ for _ in ()).throw(OSError('full')))
    with pytest.raises(OSError, match='full'):
        TREE.save(path)
    assert path.read_text() == 'old'
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def document(**changes):
    return {**TREE.to_dict(), **changes}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'not a JSON document'),
        ('\xff', 'not a JSON document'),
        ('', 'not a JSON document'),
        ('{} {}', 'not a JSON document'),
        ('{"madds": NaN}', 'NaN is not a finite number'),
        ('{"madds": 1e999}', '1e999 is not a finite number'),
        ('{"a": 1, "a": 2}', 'a key is repeated'),
        ('[' * 100_000, 'not a JSON document'),
        ('[' * 30 + ']' * 30, 'nests more than'),
        ('1' * 10_000, 'not a JSON document|JSON object'),
        (' ' * (MAX_BYTES + 1), 'size: found more than'),
        ('[]', 'document: found .*, expected a JSON object'),
        ('null', 'document: found None'),
    ],
)
def test_refuses_other_files(path, content, message):
    path.write_bytes(content.encode('latin-1'))
    with pytest.raises(ValueError, match=f'architecture.json: .*({message})'):
        BranchedArchitecture.load(path)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'format': 'other'}, "format: found 'other', expected 'mmbmtas.architecture'"),
        ({'version': 3}, 'version: found 3, expected 1 or 2'),
        ({'version': True}, 'version: found True, expected 1'),
        ({'colour': 1}, 'colour: found an unknown key'),
        ({'tasks': ['semseg', 'semseg', 'edge']}, 'tasks: found'),
        ({'tasks': 'semseg'}, 'tasks: found'),
        ({'tasks': ['edge', 'depth', 'normals']}, 'routing: found .* expected the tasks'),
        ({'encoder': 'MobileNetV2'}, 'encoder: found'),
        ({'encoder': {'type': None}}, 'encoder: found'),
        ({'num_layers': True}, 'num_layers: found True'),
        ({'num_layers': 3.0}, r'num_layers: found 3\.0'),
        ({'num_layers': 4}, 'routing.semseg: found 3, expected 4'),
        ({'num_layers': 1001}, 'num_layers: found 1001'),
        ({'layers': ['one']}, 'layers: found 1, expected 3'),
        ({'layers': [1, 2, 3]}, 'layers: found'),
        ({'routing': {'semseg': [0, 0, 1]}}, 'routing: found'),
        ({'groupings': []}, 'groupings: found 0'),
        ({'groupings': {}}, 'groupings: found'),
        ({'madds': 12}, 'madds: found'),
        ({'madds': {'network': -1}}, 'madds: found'),
        ({'madds': {'network': True}}, 'madds: found'),
        ({'madds': {'network': {}}}, 'madds: found'),
        ({'madds': {'shape': 512}}, 'madds: found'),
        ({'madds': {'layers': 3}}, 'madds: found'),
        ({'madds': {'network': [3]}}, 'madds: found'),
        ({'layers': ['x' * 101] * 3}, 'layers: found'),
        ({'madds': {'layers': [1]}}, 'madds.layers: found 1, expected 3'),
        ({'source': 1}, 'source: found 1'),
    ],
)
def test_names_file_and_key_of_what_is_wrong(path, changes, message):
    path.write_text(json.dumps(document(**changes)))
    with pytest.raises(ValueError, match=f'architecture.json: {message}'):
        BranchedArchitecture.load(path)


@pytest.mark.parametrize('key', TREE.to_dict())
def test_names_a_missing_key(path, key):
    path.write_text(json.dumps({k: v for k, v in TREE.to_dict().items() if k != key}))
    with pytest.raises(ValueError, match=f'architecture.json: {key}: found (None|nothing)'):
        BranchedArchitecture.load(path)


@pytest.mark.parametrize('candidate', [True, -1, 0.0, '0', None, [0]])
def test_refuses_candidates_that_are_no_index(path, candidate):
    routing = {**TREE.to_dict()['routing'], 'depth': [0, 2, candidate]}
    path.write_text(json.dumps(document(routing=routing)))
    with pytest.raises(ValueError, match=r'routing: found .* integers from 0'):
        BranchedArchitecture.load(path)


@pytest.mark.parametrize(
    'last',
    [
        [['semseg', 'edge'], ['depth']],
        [['semseg'], ['edge', 'depth']],
        [['semseg', 'edge', 'depth']],
        [['semseg'], ['edge']],
        [['semseg'], ['edge'], ['depth', 'depth']],
        [['semseg'], ['edge'], ['depth'], []],
        [['semseg'], ['edge'], ['normals']],
    ],
    ids=['other split', 'merged anew', 'merged again', 'missing', 'twice', 'empty', 'unknown'],
)
def test_refuses_groupings_that_disagree_with_the_routing(path, last):
    groupings = [*TREE.to_dict()['groupings'][:2], last]
    path.write_text(json.dumps(document(groupings=groupings)))
    with pytest.raises(ValueError, match=r'groupings\[2\]: found .* as the routing has it'):
        BranchedArchitecture.load(path)
