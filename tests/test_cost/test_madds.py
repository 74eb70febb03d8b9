import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from mmbmtas.cost import ModuleCost, count_madds


@given(
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
)
def test_convolution(groups, kernel, stride, dilation, bias):
    conv = nn.Conv2d(4, 8, kernel, stride, 1, dilation, groups, bias)
    x = torch.ones(2, 4, 9, 8)
    outputs = conv(x).numel()
    weights = kernel[0] * kernel[1] * 4 // groups
    cost = count_madds(conv, x)
    assert cost.madds == weights * outputs
    assert cost.madds_paper == outputs * (weights + (weights if bias else weights - 1)) / 2
    assert cost.params == sum(parameter.numel() for parameter in conv.parameters())


def test_transposed_convolution_multiplies_each_input_with_its_weights():
    conv = nn.ConvTranspose2d(4, 6, 2, stride=2, bias=False)
    cost = count_madds(conv, torch.empty(1, 4, 5, 5))
    assert cost.madds == 5 * 5 * 4 * 6 * 2 * 2
    assert cost.operations == 2 * cost.madds - 10 * 10 * 6


def test_convolutions_of_other_dimensions():
    assert count_madds(nn.Conv1d(2, 3, 5), torch.empty(1, 2, 9)).madds == 5 * 2 * 3 * 5
    assert count_madds(nn.Conv3d(2, 3, 2), torch.empty(1, 2, 4, 4, 4)).madds == 8 * 2 * 3 * 27


def test_pooling_counts_in_the_paper_only():
    x = torch.empty(1, 4, 8, 8)
    assert count_madds(nn.MaxPool2d(3, 2, 1), x) == ModuleCost(0, 9 * 4 * 4 * 4)
    assert count_madds(nn.MaxPool2d((2, 1)), x) == ModuleCost(0, 2 * 4 * 4 * 8)
    assert count_madds(nn.AdaptiveAvgPool2d(1), x) == ModuleCost(0, 4 * 8 * 8)


def test_nothing_else_counts():
    module = nn.Sequential(
        nn.BatchNorm2d(4), nn.ReLU6(), nn.Upsample(scale_factor=2), nn.Linear(16, 2)
    )
    assert count_madds(module, torch.empty(1, 4, 8, 8)) == ModuleCost(params=8 + 34)


def test_subclasses_count_and_calls_add_up():
    class Scaled(nn.Conv2d):
        def forward(self, x):
            return F.relu(super().forward(x)) * 2

    conv = Scaled(4, 4, 1, bias=False)
    once, twice = (count_madds(nn.Sequential(*[conv] * n), torch.empty(1, 4, 3, 3)) for n in (1, 2))
    assert once.madds == 16 * 9
    assert (twice.madds, twice.params) == (2 * once.madds, once.params)


def test_nothing_is_computed_or_changed():
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
            self.devices = []

        def forward(self, inputs):
            low, context = inputs['features']
            self.devices.append(context.device.type)
            return self.norm(self.conv(low) + context)

    module = Normed().train()
    module.norm.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    huge = torch.empty(1, 3, 10**5, 10**5, device='meta')
    assert count_madds(module, {'features': (huge, torch.ones(1))}).madds > 8 * 10**11
    assert module.devices == ['meta']
    assert module.training
    assert module.conv.training
    assert not module.norm.training
    assert not module.conv._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_leaves_the_module_as_it_was_after_an_error():
    module = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(4, 3, 3))
    with pytest.raises(RuntimeError, match='channel'):
        count_madds(module, torch.empty(1, 3, 8, 8))
    assert module.training
    assert not module[0]._forward_hooks
    assert module[0].weight.device.type == 'cpu'


def test_costs_add_and_multiply():
    cost = ModuleCost(3, 5, 2)
    assert cost + 2 * cost == cost * 3 == ModuleCost(9, 15, 6)
    assert cost.madds_paper == 2.5
