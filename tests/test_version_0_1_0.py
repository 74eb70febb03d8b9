"""Files of version 0.1.0 still load: an architecture, and the checkpoint of a search (gzip).

Its commit f9a8df7 wrote them, of a search of 12 iterations of three tasks with the TinyEncoder of
tests/toys.py and decoders of 4 channels.
"""

import gzip
from pathlib import Path

import pytest
import torch

from mmbmtas.checkpoints import network_weights
from mmbmtas.launch.architectures import architecture_of_checkpoint
from mmbmtas.structures import BranchedArchitecture

FOLDER = Path(__file__).parent / 'version_0_1_0'
TASKS = ('semseg', 'normals', 'edge')


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'iter_10.pth'
    path.write_bytes(gzip.decompress((FOLDER / 'search_iter_10.pth.gz').read_bytes()))
    return path


@pytest.fixture
def model(toys):
    """The config of the search then."""
    heads = {
        task: {**toys.head(task, toys.TINY), 'channels': 4, 'low_level_channels': 4}
        for task in TASKS
    }
    return toys.search_config(TASKS, toys.TINY, heads=heads)


def test_an_architecture(toys, tmp_path):
    path = FOLDER / 'architecture.json'
    tree = BranchedArchitecture.load(path)
    # As a person reads the file: edge leaves after the stem, the others after layer 0.
    assert tree.tasks == TASKS
    assert [grouping.num_groups for grouping in tree.groupings] == [2, 3, 3]
    assert tree.routing['normals'] == (1, 2, 2)
    assert tree.madds['network'] == 480256
    # Files are still written as they were, byte for byte.
    tree.save(tmp_path / 'again.json')
    assert (tmp_path / 'again.json').read_bytes() == path.read_bytes()
    network = toys.build(toys.branched_config(TASKS, toys.TINY, tree=tree))
    assert [len(branches) for branches in network.backbone.layers] == [2, 3, 3]


def test_the_tree_of_a_checkpoint(checkpoint, toys):
    tree = architecture_of_checkpoint(checkpoint)
    assert tree.tasks == TASKS
    assert tree.encoder == toys.TINY
    assert tree.source['iteration'] == 10
    stored = torch.load(checkpoint, weights_only=False)
    candidates = stored['state_dict']['backbone.arch_params'].argmax(-1)
    assert [tree.routing[task] for task in TASKS] == [tuple(c) for c in candidates.T.tolist()]


def test_a_search_resumes(checkpoint, model, search_runner, tmp_path):
    stored = torch.load(checkpoint, weights_only=False)['state_dict']
    runner = search_runner(tmp_path / 'work', model=model)
    runner.resume(str(checkpoint))
    assert runner.iter == 10
    own = network_weights(runner.model)
    assert own.keys() <= stored.keys()
    for name, value in own.items():
        assert torch.equal(value, stored[name]), name
    runner.train()
    assert runner.iter == 12
