"""MobileNetV2 of the paper from plain parts: the counting must give the paper's figures."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmbmtas.cost import measure
from mmbmtas.structures import BranchedArchitecture

CHANNELS = {'semseg': 21, 'human_parts': 7, 'saliency': 1, 'normals': 3, 'edge': 1}
TASKS = [*CHANNELS]
ENCODER = {'type': 'MobileNetV2Encoder'}
LAYER_MADDS = [
    *(52428800, 152567808, 134479872, 80805888, 57409536, 57409536, 39518208, 53870592, 53870592),
    *(53870592, 66453504, 118554624, 118554624, 156303360, 323420160, 323420160, 480706560),
    75538432,
]


def conv(inputs, outputs, kernel=1, stride=1, dilation=1, groups=1):
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


def inverted_residual(inputs, outputs, expand, stride, dilation):
    hidden = inputs * expand
    return nn.Sequential(
        conv(inputs, hidden) if expand > 1 else nn.Identity(),
        conv(hidden, hidden, 3, stride, dilation, groups=hidden),
        conv(hidden, outputs),
    )


class RASPP(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch = conv(320, 128)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(320, 128))
        self.project = conv(256, 128)

    def forward(self, x):
        pooled = F.interpolate(self.pool(x), x.shape[2:])
        return self.project(torch.cat([self.branch(x), pooled], 1))


class Decoder(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.low = conv(24, 48)
        self.fuse = nn.Sequential(
            conv(176, 176, 3, groups=176),
            conv(176, 128),
            conv(128, 128, 3, groups=128),
            conv(128, 128),
            nn.Conv2d(128, outputs, 1),
        )

    def forward(self, inputs):
        low, context = inputs
        return self.fuse(torch.cat([self.low(low), F.interpolate(context, low.shape[2:])], 1))


def mobilenet_layers():
    settings = [
        (1, 16, 1, 1, 1),
        (6, 24, 2, 2, 1),
        (6, 32, 3, 2, 1),
        (6, 64, 4, 2, 1),
        (6, 96, 3, 1, 1),
        (6, 160, 3, 1, 2),
        (6, 320, 1, 1, 2),
    ]
    inputs, layers = 32, []
    for expand, outputs, repeats, stride, dilation in settings:
        for i in range(repeats):
            step = stride if i == 0 else 1
            layers.append(inverted_residual(inputs, outputs, expand, step, dilation))
            inputs = outputs
    return [*layers, RASPP()]


@pytest.fixture(scope='module')
def cost():
    with torch.device('meta'):
        heads = {task: Decoder(channels) for task, channels in CHANNELS.items()}
        return measure(conv(3, 32, 3, 2), mobilenet_layers(), heads, (512, 512), 2)


def test_layers_of_mobilenet(cost):
    assert list(cost.layer_madds) == LAYER_MADDS


def test_totals_of_mobilenet(cost):
    assert cost.single().madds == 15_854_411_776
    assert cost.shared().madds == 6_031_187_968
    assert cost.all_apart().madds == 15_627_919_360


def test_totals_in_the_convention_of_the_paper(cost):
    assert cost.single().madds_paper == 15_729_565_376
    assert cost.shared().madds_paper == 5_986_295_744
    assert cost.all_apart().madds_paper == 15_507_267_264


def test_parameters_follow_the_copies(cost):
    layers = sum(layer.params for layer in cost.layers)
    decoders = sum(decoder.params for decoder in cost.decoders.values())
    assert cost.shared().params == cost.stem.params + layers + decoders
    assert cost.all_apart().params == cost.stem.params + 5 * layers + decoders
    assert cost.single().params == 5 * (cost.stem.params + layers) + decoders


def test_tree_lies_between_its_extremes(cost):
    assert cost.tree(BranchedArchitecture.shared(TASKS, ENCODER, 18)) == cost.shared()
    assert cost.tree(BranchedArchitecture.all_apart(TASKS, ENCODER, 18)) == cost.all_apart()
    routing = {task: [0] * 15 + [i % 2] * 3 for i, task in enumerate(TASKS)}
    tree = BranchedArchitecture.from_routing(TASKS, ENCODER, routing)
    assert cost.tree(tree).madds == cost.shared().madds + sum(LAYER_MADDS[15:])


def test_single_is_the_sum_of_trees_of_one_task(cost):
    apart = BranchedArchitecture.all_apart(TASKS, ENCODER, 18)
    trees = [cost.tree(apart.for_tasks([task])).madds for task in TASKS]
    assert sum(trees) == cost.single().madds


def test_refuses_trees_of_another_network(cost):
    with pytest.raises(ValueError, match='17 layers, the measured encoder has 18'):
        cost.tree(BranchedArchitecture.shared(TASKS, ENCODER, 17))
    with pytest.raises(ValueError, match=r"no decoder was measured for \['depth'\]"):
        cost.tree(BranchedArchitecture.shared(['depth'], ENCODER, 18))


@pytest.mark.parametrize('index', [-1, 1])
def test_refuses_a_low_level_layer_that_is_none(index):
    with pytest.raises(ValueError, match='expected 0 to 0'):
        measure(nn.Identity(), [nn.Identity()], {}, (8, 8), index)
