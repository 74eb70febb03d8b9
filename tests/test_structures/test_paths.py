import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbmtas.errors import InputError
from mmbmtas.structures import (
    BranchedArchitecture,
    PathArchitecture,
    RoutedArchitecture,
    as_architecture,
    is_zero,
)

ROOT = Path(__file__).parents[2]
ENCODER = {'type': 'MobileNetV3PathEncoder', 'widen_factor': 1.0}
KERNELS = [{'kernel': 3}, {'kernel': 5}, {'kernel': 7}]
ZERO = {'zero': True}
NAMES = [f'd{i}' for i in range(8)]
# Spec, section 10: three layers of three candidates, the last of layers 1 and 2 being zero where
# the Jaccard index leaves it out.
ROUTING = {'first': [0, 1, 2], 'second': [0, 1, 0], 'third': [1, 1, 0]}
PATHS = PathArchitecture.from_routing(
    [*ROUTING],
    ENCODER,
    ROUTING,
    candidates=[KERNELS, KERNELS, KERNELS],
    layers=['a', 'b', 'c'],
    madds={'shape': [64, 64], 'per_domain': [9, 11, 9], 'sum': 29, 'union': 13, 'prefix': 20},
    source={'config': 'search.py'},
)


@st.composite
def architectures(draw):
    num_domains, num_layers = draw(st.integers(1, 8)), draw(st.integers(1, 6))
    counts = [draw(st.integers(1, 4)) for _ in range(num_layers)]
    candidates = [
        [{'kernel': 2 * c + 1} for c in range(count - 1)] + [draw(st.sampled_from([ZERO, {}]))]
        for count in counts
    ]
    names = NAMES[:num_domains]
    routing = {name: [draw(st.integers(0, c - 1)) for c in counts] for name in names}
    return PathArchitecture.from_routing(names, ENCODER, routing, candidates=candidates)


@given(architectures())
def test_domains_share_a_node_iff_they_pass_it(paths):
    for layer, grouping in enumerate(paths.groupings):
        found = {domain: c for c, group in paths.nodes(layer) for domain in group}
        assert found == {domain: paths.routing[domain][layer] for domain in paths.domains}
        assert [c for c, _ in paths.nodes(layer)] == sorted(set(found.values()))
        for a, first in enumerate(paths.domains):
            for b, second in enumerate(paths.domains):
                same = paths.routing[first][layer] == paths.routing[second][layer]
                assert (b in grouping.group_of(a)) == same


@given(architectures())
def test_a_tree_of_the_same_routing_shares_no_more(paths):
    tree = BranchedArchitecture.from_routing(paths.tasks, ENCODER, paths.routing)
    assert tree.groupings[0] == paths.groupings[0]
    for own, of_tree in zip(paths.groupings, tree.groupings, strict=True):
        assert of_tree.refines(own)


@given(architectures())
def test_round_trip(paths):
    text = json.dumps(paths.to_dict())
    again = PathArchitecture.from_dict(json.loads(text))
    assert again == paths
    assert hash(again) == hash(paths)
    assert json.dumps(again.to_dict()) == text
    assert copy.deepcopy(paths) == pickle.loads(pickle.dumps(paths)) == paths


@given(architectures(), st.data())
def test_for_tasks_keeps_the_paths_and_the_space(paths, data):
    domains = data.draw(st.lists(st.sampled_from(paths.domains), min_size=1, unique=True))
    part = paths.for_tasks(domains)
    assert part.domains == tuple(domains)
    assert part.candidates == paths.candidates
    for layer in range(paths.num_layers):
        kept = {c: {*group} & {*domains} for c, group in paths.nodes(layer)}
        expected = {c: group for c, group in kept.items() if group}
        assert {c: {*group} for c, group in part.nodes(layer)} == expected


def test_jaccard_index_of_the_specification():
    np.testing.assert_allclose(
        PATHS.jaccard(), [[1, 0.5, 0.2], [0.5, 1, 0.5], [0.2, 0.5, 1]], rtol=1e-12
    )
    layers = [KERNELS, [*KERNELS[:2], ZERO], [*KERNELS[:2], ZERO]]
    paths = PathArchitecture.from_routing([*ROUTING], ENCODER, ROUTING, candidates=layers)
    np.testing.assert_allclose(
        paths.jaccard(zero_is_node=False),
        [[1, 2 / 3, 0.25], [2 / 3, 1, 0.5], [0.25, 0.5, 1]],
        rtol=1e-12,
    )
    np.testing.assert_allclose(paths.jaccard(), PATHS.jaccard(), rtol=1e-12)


def test_paths_of_nothing_but_zeros_are_alike():
    paths = PathArchitecture.from_routing(
        ['a', 'b'], ENCODER, {'a': [0], 'b': [0]}, candidates=[[ZERO]]
    )
    assert paths.jaccard(zero_is_node=False).tolist() == [[1, 1], [1, 1]]
    assert is_zero(ZERO)
    assert not is_zero({'kernel': 3})


def test_description_counts_nodes_without_zeros():
    layers = [KERNELS, KERNELS, [*KERNELS[:2], ZERO]]
    paths = PathArchitecture.from_routing([*ROUTING], ENCODER, ROUTING, candidates=layers)
    assert paths.describe() == (
        '3 paths through 3 layers, 4 nodes (3 shared): first 2, second 3, third 3'
    )


def test_equality_is_about_domains_space_and_paths():
    same = {'candidates': PATHS.candidates}
    assert PathArchitecture.from_routing([*ROUTING], ENCODER, ROUTING, **same) == PATHS
    other = {**ROUTING, 'third': [0, 1, 0]}
    assert PathArchitecture.from_routing([*ROUTING], ENCODER, other, **same) != PATHS
    assert PathArchitecture.from_routing([*ROUTING], {'type': 'E'}, ROUTING, **same) != PATHS
    layers = [KERNELS, KERNELS, [*KERNELS[:2], ZERO]]
    assert PathArchitecture.from_routing([*ROUTING], ENCODER, ROUTING, candidates=layers) != PATHS
    assert BranchedArchitecture.from_routing([*ROUTING], ENCODER, ROUTING) != PATHS


def test_later_changes_of_the_arguments_have_no_effect():
    layer = [{'kernel': 3}]
    paths = PathArchitecture.from_routing(['a'], ENCODER, {'a': [0]}, candidates=[layer])
    layer[0]['kernel'] = 5
    layer.append(ZERO)
    assert paths.candidates == (({'kernel': 3},),)


def test_file_has_a_layer_a_line(tmp_path):
    path = tmp_path / 'architecture.json'
    PATHS.save(path)
    loaded = PathArchitecture.load(path)
    assert loaded.to_dict() == PATHS.to_dict()
    text = path.read_text()
    loaded.save(path)
    assert path.read_text() == text
    lines = text.splitlines()
    assert '  "version": 2,' in lines
    assert '  "sharing": "node",' in lines
    assert '    [{"kernel": 3}, {"kernel": 5}, {"kernel": 7}],' in lines
    assert '    "second": [0, 1, 0],' in lines
    assert '    [["first", "second"], ["third"]],' in lines


def test_either_kind_is_read_by_its_file(tmp_path):
    tree = BranchedArchitecture.from_routing([*ROUTING], ENCODER, ROUTING)
    for architecture in (PATHS, tree):
        path = tmp_path / 'architecture.json'
        architecture.save(path)
        for given_as in (path, str(path), architecture, architecture.to_dict()):
            found = as_architecture(given_as)
            assert type(found) is type(architecture)
            assert found == architecture
        assert RoutedArchitecture.load(path) == architecture


def test_a_tree_may_be_written_as_version_2():
    tree = BranchedArchitecture.from_routing([*ROUTING], ENCODER, ROUTING)
    document = {**tree.to_dict(), 'version': 2, 'sharing': 'prefix', 'candidates': None}
    assert as_architecture(document) == tree
    assert BranchedArchitecture.from_dict(document).to_dict() == tree.to_dict()


def test_whoever_needs_the_other_kind_says_so(tmp_path):
    path = tmp_path / 'architecture.json'
    PATHS.save(path)
    with pytest.raises(InputError, match=r"json: sharing: found 'node', paths .* tree"):
        BranchedArchitecture.load(path)
    with pytest.raises(InputError, match=r'is paths of domains.*, expected a tree'):
        BranchedArchitecture.of(PATHS)
    tree = BranchedArchitecture.from_routing([*ROUTING], ENCODER, ROUTING)
    tree.save(path)
    with pytest.raises(InputError, match=r'json: version: found 1, a tree, .* expected paths'):
        PathArchitecture.of(path)
    with pytest.raises(InputError, match=r'is a tree, .*, expected paths'):
        PathArchitecture.of(tree)


def test_another_space_is_refused():
    space = [[*layer] for layer in PATHS.candidates]
    PATHS.check_space(space)
    with pytest.raises(InputError, match='has 3 searched layers, the encoder has 2'):
        PATHS.check_space(space[:2], 'paths.json')
    with pytest.raises(InputError, match=r'paths.json: candidates\[1\]: 3 .* encoder has 2'):
        PATHS.check_space([space[0], KERNELS[:2], space[2]], 'paths.json')


BROKEN = [
    ({'sharing': 'both'}, r"sharing: found 'both', expected \"prefix\" or \"node\""),
    ({'sharing': ['node']}, 'sharing: found'),
    ({'sharing': 'prefix'}, 'candidates: found .* null where sharing is "prefix"'),
    ({'version': 1}, 'sharing: found an unknown key|candidates: found an unknown key'),
    ({'version': 3}, 'version: found 3, expected 1 or 2'),
    ({'version': 2.0}, r'version: found 2\.0, expected 1 or 2'),
    ({'format': 'mmbmtas.cell'}, 'format: found'),
    ({'candidates': None}, 'candidates: found None, expected for each layer a list'),
    ({'candidates': {}}, 'candidates: found {}, expected null or a list'),
    ({'candidates': [KERNELS] * 2}, 'candidates: found 2, expected 3, one for each layer'),
    ({'candidates': [KERNELS, KERNELS, []]}, r'candidates\[2\]: found 0, expected 1 to 1000'),
    ({'candidates': [KERNELS, KERNELS, {'kernel': 3}]}, 'candidates: found'),
    ({'candidates': [KERNELS, KERNELS, [3, 5, 7]]}, 'candidates: found'),
    ({'candidates': [KERNELS, [*KERNELS, KERNELS[0]], KERNELS]}, r'candidates\[1\]\[3\]: .* 0'),
    ({'candidates': [[{'zero': False}], KERNELS, KERNELS]}, r'candidates\[0\]\[0\]: found'),
    ({'candidates': [[{'zero': True, 'kernel': 3}]] + [KERNELS] * 2}, r'candidates\[0\]\[0\]'),
    ({'candidates': [[{'kernel': None}], KERNELS, KERNELS]}, r'candidates\[0\]\[0\]: found'),
    ({'candidates': [[{'kernel': [3, 3]}], KERNELS, KERNELS]}, r'candidates\[0\]\[0\]: found'),
    ({'candidates': [[{'kernel': -3}], KERNELS, KERNELS]}, r'candidates\[0\]\[0\]: found'),
    ({'candidates': [[{'a b': 1}], KERNELS, KERNELS]}, r'candidates\[0\]\[0\]: found'),
    ({'candidates': [[{'kernel': 1e999}], KERNELS, KERNELS]}, 'not a finite number'),
    ({'candidates': [KERNELS[:1], KERNELS, KERNELS]}, r'routing.third\[0\]: found 1, .*, 0 to 0'),
    ({'routing': {**ROUTING, 'third': [1, 3, 0]}}, r'routing.third\[1\]: found 3, .*, 0 to 2'),
    ({'routing': {**ROUTING, 'third': [1, -1, 0]}}, 'routing: found'),
    ({'routing': {'first': [0, 0, 0]}}, 'routing: found .* the tasks'),
    ({'num_layers': 2}, 'routing.first: found 3, expected 2'),
    ({'groupings': [[['first'], ['second'], ['third']]] * 3}, r'groupings\[0\]: found'),
    ({'tasks': ['first', 'first', 'third']}, 'tasks: found'),
    ({'encoder': {'widen_factor': 1}}, 'encoder: found'),
    ({'madds': {'union': -1}}, 'madds: found'),
    ({'layers': ['a']}, 'layers: found 1, expected 3'),
    ({'source': 3}, 'source: found 3'),
    ({'domains': ['first']}, 'domains: found an unknown key'),
]


@pytest.mark.parametrize(('changes', 'message'), BROKEN)
def test_names_file_and_key_of_what_is_wrong(tmp_path, changes, message):
    path = tmp_path / 'paths.json'
    path.write_text(json.dumps({**PATHS.to_dict(), **changes}).replace('Infinity', '1e999'))
    with pytest.raises(InputError, match=f'paths.json: .*({message})'):
        as_architecture(path)


@pytest.mark.parametrize('key', PATHS.to_dict())
def test_names_a_missing_key(tmp_path, key):
    path = tmp_path / 'paths.json'
    path.write_text(json.dumps({k: v for k, v in PATHS.to_dict().items() if k != key}))
    with pytest.raises(InputError, match=f'paths.json: {key}: found (None|nothing)'):
        as_architecture(path)


@pytest.mark.parametrize('candidates', [None, 3, [KERNELS, KERNELS], [[object()]], 'abc'])
def test_refuses_candidates_of_another_form(candidates):
    with pytest.raises(InputError, match='candidates'):
        PathArchitecture.from_routing([*ROUTING], ENCODER, ROUTING, candidates=candidates)


def files_of_trees():
    return [
        path
        for folder in ('configs', 'docs', 'tests', 'benchmarks')
        for path in sorted((ROOT / folder).rglob('*.json'))
        if path.stat().st_size < 1_000_000 and '"mmbmtas.architecture"' in path.read_text()
    ]


def test_trees_of_the_repository_are_read_and_written_back_byte_for_byte(tmp_path):
    files = files_of_trees()
    assert files
    for path in files:
        copied = tmp_path / 'architecture.json'
        as_architecture(path).save(copied)
        assert copied.read_bytes() == path.read_bytes(), path


def test_differences_are_choices():
    routing = {'first': (0, 1, 1), 'second': (0, 1, 0), 'third': (0, 2, 0)}
    other = replace(PATHS, routing=routing)
    assert PATHS.differences(other) == other.differences(PATHS) == 1 + 0 + 2
    assert PATHS.differences(PATHS) == 0
