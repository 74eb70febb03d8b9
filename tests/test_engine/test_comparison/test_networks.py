"""Networks built to see what they cost, and their times."""

import pytest
import torch
from torch import nn

from mmbmtas.engine.comparison import networks
from mmbmtas.engine.comparison.networks import build_network, latency_place, measure_latencies


class Slow(nn.Module):
    """Takes some ticks of the clock."""

    def __init__(self, ticks, order):
        super().__init__()
        self.ticks, self.order = ticks, order

    def encode_decode(self, image):
        assert image.shape == (1, 3, 4, 6)
        assert not self.training
        self.order.append(self.ticks)
        networks.time.now += self.ticks


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the networks move."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    monkeypatch.setattr(networks, 'time', Clock())


def test_groups_are_timed_in_turn_after_the_warm_up(clock):
    order = []
    fast, slow = Slow(0.001, order), Slow(0.004, order)
    groups = {'fast': [fast], 'both': [fast, slow, slow]}
    device = torch.device('cpu')
    found = measure_latencies(groups, (4, 6), device, warmup=1, repeats=2)
    assert found == {'fast': pytest.approx(1), 'both': pytest.approx(9)}
    assert order == 3 * [0.001, 0.001, 0.004, 0.004]
    assert latency_place(device).startswith('CPU, ')


def test_options_and_trees_reach_the_network(pytestconfig, config, tmp_path):
    path = str(pytestconfig.rootpath / 'configs' / 'branched_scenes.py')
    tree = pytestconfig.rootpath / 'configs' / 'architectures' / 'scenes.json'
    options = {'cost_shape': (64, 64), 'model.cost_shape': (64, 64), 'pretrained': 'lost.pth'}
    with torch.device('meta'):
        network = build_network(path, options, tree)
    assert network.cost_shape == (64, 64)
    assert network.backbone.architecture.groupings[-1].num_groups > 1
