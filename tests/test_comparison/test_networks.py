"""Networks built to see what they cost, and their times."""

import pytest
import torch
from torch import nn

from mmbmtas.comparison.networks import (
    build_network,
    build_networks,
    measure_latencies,
)
from mmbmtas.cost import timing
from mmbmtas.cost.timing import latency_place
from mmbmtas.structures import BranchedArchitecture

NOW = [0.0]


class Slow(nn.Module):
    """Takes some ticks of the clock."""

    def __init__(self, ticks, order):
        super().__init__()
        self.ticks, self.order = ticks, order

    def encode_decode(self, image):
        assert image.shape == (1, 3, 4, 6)
        assert not self.training
        self.order.append(self.ticks)
        NOW[0] += self.ticks


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the networks move."""
    monkeypatch.setitem(timing.CLOCKS, 'wall', lambda: NOW[0])


def test_groups_are_timed_in_turn_after_the_warm_up(clock):
    order = []
    fast, slow = Slow(0.001, order), Slow(0.004, order)
    groups = {'fast': [fast], 'both': [fast, slow, slow]}
    device = torch.device('cpu')
    found = measure_latencies(groups, (4, 6), device, warmup=1, repeats=2)
    assert found == {'fast': pytest.approx(1), 'both': pytest.approx(9)}
    assert order == 3 * [0.001, 0.001, 0.004, 0.004]
    assert latency_place(device).startswith('CPU, ')


def test_equal_networks_are_built_once(pytestconfig, tmp_path):
    root = pytestconfig.rootpath / 'configs'
    config, tree = str(root / 'branched_scenes.py'), root / 'architectures' / 'scenes.json'
    whole = BranchedArchitecture.load(tree)
    content = {**whole.to_dict(), 'source': {'tool': 'other'}, 'madds': None}
    BranchedArchitecture.from_dict(content).save(tmp_path / 'equal.json')
    other = BranchedArchitecture.shared(whole.tasks, whole.encoder, whole.num_layers)
    other.save(tmp_path / 'other.json')

    def network(path, **options):
        return {'config': config, 'options': options, 'architecture': str(path)}

    with torch.device('meta'):
        groups = build_networks(
            {
                'a': [network(tree)],
                'longer': [network(tree, max_iters=3)],
                'equal': [network(tmp_path / 'equal.json')],
                'other': [network(tmp_path / 'other.json'), network(tree)],
                'small': [network(tree, **{'model.cost_shape': (64, 64)})],
            }
        )
    (first,) = groups['a']
    assert groups['longer'] == groups['equal'] == [first]
    assert groups['other'][0] is not first
    assert groups['other'][1] is first
    assert groups['small'][0] is not first


def measure_and_look(kind):
    """Tell before each run which of two networks are on a GPU."""
    on_gpu = []

    class Network(nn.Linear):
        def encode_decode(self, image):
            on_gpu.append([network.weight.is_cuda for network in networks])

    networks = [Network(1, 1), Network(1, 1)]
    groups = {'a': networks[:1], 'b': networks[1:]}
    measure_latencies(groups, (4, 6), torch.device(kind), warmup=0, repeats=1)
    assert not any(network.weight.is_cuda for network in networks)
    return on_gpu


def test_a_gpu_holds_one_group_at_a_time(gpu):
    assert measure_and_look('cpu') == [[False, False]] * 2  # each runs once
    with gpu():
        assert measure_and_look('cuda') == [[True, False]] * 2 + [[False, True]] * 2


def test_options_and_trees_reach_the_network(pytestconfig, config, tmp_path):
    path = str(pytestconfig.rootpath / 'configs' / 'branched_scenes.py')
    tree = pytestconfig.rootpath / 'configs' / 'architectures' / 'scenes.json'
    options = {'model.cost_shape': (64, 64), 'pretrained': 'lost.pth'}
    with torch.device('meta'):
        network = build_network(path, options, tree)
    assert network.cost_shape == (64, 64)
    assert network.backbone.architecture.groupings[-1].num_groups > 1
