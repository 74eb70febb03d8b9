import warnings

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
        nn.BatchNorm2d(4),
        nn.GroupNorm(2, 4),
        nn.LayerNorm(8),
        nn.ReLU6(),
        nn.PReLU(4),
        LayerScale(4),
        nn.Softmax(1),
        nn.Upsample(scale_factor=2),
    )
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        cost = count_madds(module, torch.empty(1, 4, 8, 8))
        cost += count_madds(nn.Embedding(5, 3), torch.zeros(2, 4).long())
    assert cost == ModuleCost(params=8 + 8 + 16 + 4 + 4 + 15)


class LayerScale(nn.Module):
    """A factor for each channel, as in ConvNeXt."""

    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x):
        return self.gamma * x


class ConvNeXtBlock(nn.Module):
    """7x7 depthwise convolution, normalisation, two linear layers, layer scale."""

    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand, self.reduce = (
            nn.Linear(channels, 4 * channels),
            nn.Linear(4 * channels, channels),
        )
        self.scale = LayerScale(channels)

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + self.scale(self.reduce(F.gelu(self.expand(y))).permute(0, 3, 1, 2))


def test_a_convnext_block():
    """Linear layers read maps of permuted channels, where torch adds the bias on its own."""
    cost = count_madds(ConvNeXtBlock(8), torch.empty(1, 8, 6, 5))
    assert cost.madds == 30 * (49 * 8 + 2 * 8 * 32)
    assert cost.madds_paper == cost.madds  # as many additions as multiplications, with biases


@pytest.mark.parametrize('shape', [(2, 8), (2, 5, 8), (2, 3, 5, 8)])
@pytest.mark.parametrize('bias', [True, False])
def test_linear(shape, bias):
    x = torch.empty(shape)
    cost = count_madds(nn.Linear(8, 3, bias), x)
    outputs = x.numel() // 8 * 3
    assert cost.madds == 8 * outputs
    assert cost.operations == outputs * (8 + 7 + bias)
    assert cost.params == 24 + 3 * bias


class Calls(nn.Module):
    """A function of its inputs, and perhaps of a parameter."""

    def __init__(self, function, *shape):
        super().__init__()
        self.function = function
        if shape:
            self.weight = nn.Parameter(torch.rand(shape))

    def forward(self, *inputs):
        return self.function(*self.parameters(), *inputs)


@pytest.mark.parametrize(
    ('module', 'shapes', 'madds'),
    [
        (Calls(torch.matmul), [(2, 3, 4, 5), (2, 3, 5, 6)], 2 * 3 * 4 * 5 * 6),
        (Calls(torch.bmm), [(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
        (Calls(lambda a, b: a @ b), [(4, 5), (5,)], 4 * 5),
        (Calls(lambda w, x: torch.einsum('oc,nchw->nohw', w, x), 3, 4), [(2, 4, 5, 6)], 2 * 360),
        (Calls(lambda w, x: F.conv2d(x, w), 3, 4, 2, 2), [(1, 4, 6, 6)], 25 * 3 * 16),
        (Calls(lambda w, x: F.linear(x, w), 3, 4), [(2, 5, 4)], 120),
        (Calls(F.scaled_dot_product_attention), [(2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 4)], 2520),
        # Query, key, value and output projections, and both products of attention.
        (
            nn.MultiheadAttention(8, 2, batch_first=True),
            [(2, 5, 8)] * 3,
            2 * (4 * 5 * 64 + 2 * 200),
        ),
        (nn.LSTM(8, 16), [(3, 2, 8)], 3 * 2 * 4 * 16 * (8 + 16)),
    ],
)
def test_products_count_whoever_computes_them(module, shapes, madds):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert count_madds(module, *map(torch.empty, shapes)).madds == madds


@pytest.mark.parametrize(
    ('module', 'shapes', 'name'),
    [
        (nn.Bilinear(8, 6, 4), [(3, 8), (3, 6)], 'Bilinear'),
        (Calls(lambda w, x: (x[..., None] * w).sum(-2), 8, 4), [(2, 8)], 'Calls'),
        (Calls(lambda w, x: torch.fft.ifft(torch.fft.fft(x) * w).real, 8), [(2, 8)], 'Calls'),
    ],
)
def test_what_has_parameters_and_is_not_counted_is_named(module, shapes, name):
    whole = nn.Module()
    whole.part = module
    whole.forward = lambda *inputs: whole.part(*inputs)
    with pytest.warns(RuntimeWarning, match=rf'do not count .* part \({name}: aten::'):
        count_madds(whole, *map(torch.empty, shapes))


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


def test_leaves_shared_modules_and_weights_as_they_were():
    """A module of two names, as attention with common keys and queries has it, and tied weights."""
    shared, tied = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
    twin = nn.Conv2d(3, 3, 1, bias=False)
    twin.weight = tied.weight
    module = nn.Sequential(shared, shared, nn.Sequential(shared), tied, twin)
    cost = count_madds(module, torch.empty(1, 3, 8, 8))
    assert (cost.madds, cost.params) == (5 * 9 * 64, 2 * 9)
    assert {p.device.type for p in module.parameters()} == {'cpu'}
    assert twin.weight is tied.weight


def test_a_batch_normalisation_without_statistics_counts_at_one_value():
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 4, 1), norm)
    assert count_madds(module, torch.empty(1, 3, 8, 8)).madds == 12
    assert norm.running_mean is norm.running_var is None
    assert [*norm.state_dict()] == ['weight', 'bias']


def test_costs_add_and_multiply():
    cost = ModuleCost(3, 5, 2)
    assert cost + 2 * cost == cost * 3 == ModuleCost(9, 15, 6)
    assert cost.madds_paper == 2.5
