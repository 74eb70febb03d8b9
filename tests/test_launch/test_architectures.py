"""The tree of a checkpoint."""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmbmtas.launch.architectures import architecture_of_checkpoint
from mmbmtas.structures import BranchedArchitecture

TOOL = str(Path(__file__).parents[2] / 'tools' / 'export_architecture.py')
TASKS = ('semseg', 'normals', 'edge')


@pytest.fixture
def checkpoints(toys, tmp_path):
    """A search's and a retraining's checkpoint, and the tree in both."""
    search = toys.build(toys.search_config(TASKS))
    toys.route(search.backbone, toys.random_routing(TASKS, 18, 3))
    tree = search.export_architecture('here')
    meta = {'iter': 7, 'seed': 5, 'architecture': tree.to_dict()}
    torch.save({'meta': meta, 'state_dict': search.state_dict()}, tmp_path / 'search.pth')
    branched = toys.build(toys.branched_config(TASKS, tree=tree))
    torch.save({'state_dict': branched.state_dict()}, tmp_path / 'branched.pth')
    return tmp_path / 'search.pth', tmp_path / 'branched.pth', tree


def test_both_kinds_give_the_tree(checkpoints):
    *paths, tree = checkpoints
    for path in paths:
        found = architecture_of_checkpoint(path)
        assert found == tree
        assert found.routing == tree.routing
        assert found.madds == tree.madds


@pytest.fixture
def path_checkpoints(toys, tmp_path):
    """A path search's and a retraining's checkpoint, and the paths in both."""
    domains = {'digits': ['digits'], 'rooms': ['semseg', 'depth']}
    search = toys.build(toys.path_search_config(domains))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in search.policy.parameters():
            parameter.normal_()
    paths = search.export_architecture('here')
    meta = {'iter': 7, 'seed': 5, 'architecture': paths.to_dict()}
    torch.save({'meta': meta, 'state_dict': search.state_dict()}, tmp_path / 'search.pth')
    config = toys.path_config(domains)
    config['backbone']['architecture'] = paths.to_dict()
    network = toys.build(config)
    torch.save({'state_dict': network.state_dict()}, tmp_path / 'paths.pth')
    return tmp_path / 'search.pth', tmp_path / 'paths.pth', paths


def test_both_kinds_give_the_paths(path_checkpoints):
    *files, paths = path_checkpoints
    assert len({*paths.routing.values()}) == 2
    for file in files:
        found = architecture_of_checkpoint(file)
        assert found == paths
        assert found.madds == paths.madds
    assert architecture_of_checkpoint(files[0]).source['iteration'] == 7


def test_policies_that_do_not_fit_are_refused(path_checkpoints):
    path, *_ = path_checkpoints
    checkpoint = torch.load(path)
    name = next(name for name in checkpoint['state_dict'] if 'policy.logits' in name)
    checkpoint['state_dict'][name] = torch.zeros(3)
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r'search\.pth: its policies are damaged'):
        architecture_of_checkpoint(path)


def test_source_names_the_checkpoint(checkpoints):
    source = architecture_of_checkpoint(checkpoints[0]).source
    assert (source['checkpoint'], source['iteration'], source['seed']) == ('search.pth', 7, 5)


def test_costs_of_another_tree_are_left_out(checkpoints, toys):
    path, _, tree = checkpoints
    checkpoint = torch.load(path)
    checkpoint['meta']['architecture'] = toys.random_tree(TASKS, seed=9).to_dict()
    torch.save(checkpoint, path)
    found = architecture_of_checkpoint(path)
    assert found == tree
    assert found.madds is None


def test_checkpoints_without_meta(checkpoints):
    path, _, tree = checkpoints
    checkpoint = torch.load(path)
    torch.save({'state_dict': checkpoint['state_dict']}, path)
    assert architecture_of_checkpoint(path) == tree


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'lost\.pth: no such checkpoint'):
        architecture_of_checkpoint(tmp_path / 'lost.pth')
    torch.save({'state_dict': {'fc.weight': torch.rand(2)}}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'other\.pth holds no architecture: .* is missing'):
        architecture_of_checkpoint(tmp_path / 'other.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match=r'list\.pth holds a list: expected a dict'):
        architecture_of_checkpoint(tmp_path / 'list.pth')


def test_encoders_that_are_no_tree_are_refused(toys, tmp_path):
    model = toys.build(toys.exchange_config('CrossStitchNetwork', TASKS))
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'stitched.pth')
    with pytest.raises(
        ValueError, match=r'stitched\.pth holds a CrossStitchNetwork .* no architecture'
    ):
        architecture_of_checkpoint(tmp_path / 'stitched.pth')


class TestTool:
    @pytest.fixture
    def run(self, monkeypatch):
        def call(*words):
            monkeypatch.setattr(sys, 'argv', ['export_architecture.py', *map(str, words)])
            runpy.run_path(TOOL, run_name='__main__')

        return call

    def test_to_a_file(self, run, checkpoints, tmp_path):
        run(checkpoints[0], '-o', tmp_path / 'deep' / 'tree.json')
        assert BranchedArchitecture.load(tmp_path / 'deep' / 'tree.json') == checkpoints[2]
        assert [*(tmp_path / 'deep').iterdir()] == [tmp_path / 'deep' / 'tree.json']

    def test_to_standard_output(self, run, checkpoints, capsys):
        run(checkpoints[1])
        document = json.loads(capsys.readouterr().out)
        assert BranchedArchitecture.from_dict(document) == checkpoints[2]

    @pytest.mark.parametrize('content', [None, b'not a checkpoint', b''])
    def test_a_file_that_is_none(self, run, tmp_path, capsys, content):
        if content is not None:
            (tmp_path / 'bad.pth').write_bytes(content)
        with pytest.raises(SystemExit) as caught:
            run(tmp_path / 'bad.pth', '-o', tmp_path / 'tree.json')
        assert caught.value.code == 1
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error: ')]
        assert 'bad.pth' in line
        assert not (tmp_path / 'tree.json').exists()


def test_paths_that_were_changed_for_a_budget_are_those_of_the_checkpoint(path_checkpoints):
    path, _, paths = path_checkpoints
    held = replace(
        paths,
        routing={**paths.routing, 'digits': paths.routing['rooms']},
        source={'config': None, 'choices_changed_for_budget': 2},
    )
    checkpoint = torch.load(path)
    checkpoint['meta']['architecture'] = held.to_dict()
    torch.save(checkpoint, path)
    found = architecture_of_checkpoint(path)
    assert found == held != paths
    assert found.source == {
        'checkpoint': 'search.pth',
        'iteration': 7,
        'seed': 5,
        'choices_changed_for_budget': 2,
    }
    checkpoint['meta']['architecture'] = replace(held, source='elsewhere').to_dict()
    torch.save(checkpoint, path)
    assert architecture_of_checkpoint(path) == paths  # the most probable ones
