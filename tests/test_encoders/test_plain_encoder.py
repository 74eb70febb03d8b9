"""The encoder of the planted problems, and its supernet."""

import pytest
import torch

from mmbmtas.cost import count_madds
from mmbmtas.encoders import PlainEncoder
from mmbmtas.models.backbones import BranchedSupernet
from mmbmtas.structures import TaskGrouping

PLAIN = {'type': 'PlainEncoder', 'width': 4, 'depth': 3}


def test_layers_keep_the_size_and_cost_what_they_should():
    encoder = PlainEncoder(width=5, depth=2)
    x = torch.randn(2, 3, 8, 8)
    for index, channels in enumerate((3, 5)):
        layer = encoder.build_layer(index)
        assert count_madds(layer, x).madds == 2 * 9 * channels * 5 * 64
        x = layer(x)
        assert x.shape == (2, 5, 8, 8)
    with pytest.raises(KeyError):
        encoder.translate('conv1.weight')


@pytest.mark.parametrize('options', [{'width': 0}, {'depth': 1.5}, {'width': '4'}])
def test_numbers_without_meaning(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        PlainEncoder(**options)


class TestSupernet:
    @pytest.fixture
    def supernet(self):
        return BranchedSupernet(['a', 'b', 'c'], PLAIN)

    def test_candidates_start_alike(self, supernet):
        assert not supernet.starts_alike()
        supernet.init_weights()
        assert supernet.starts_alike()
        first, second, _ = supernet.layers[1]
        with torch.no_grad():
            first.conv.weight.zero_()
        assert second.conv.weight.abs().max() > 0  # copies, not views

    def test_a_tree_becomes_the_most_probable(self, supernet):
        tree = (TaskGrouping(((0, 2), (1,))), *[TaskGrouping(((0,), (1,), (2,)))] * 2)
        supernet.route(tree)
        assert supernet.export_architecture().groupings == tree
        assert supernet.routing_probs().max(dim=-1).values.min() > 0.999
