"""Candidates run as one compute what they compute one after another."""

import copy

import pytest
import torch
from mmcv.cnn import ConvModule
from mmseg.models.utils import InvertedResidual
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.encoders.context import ContextModule
from mmbmtas.models.backbones import branched_supernet, wide
from mmbmtas.models.backbones.operations import conv2d, relu6_

TASKS = ('semseg', 'normals', 'edge')


@pytest.fixture
def supernet(toys):
    torch.manual_seed(0)
    supernet = toys.supernet(TASKS)
    toys.randomise(supernet)
    return supernet


def inputs_of(supernet, size=8):
    """A random input of each layer."""
    generator = torch.Generator().manual_seed(1)
    channels = [block['in_channels'] for block in supernet.encoder.blocks]
    channels.append(supernet.layers[-1][0].branches[0].conv.in_channels)
    return [torch.randn(4, count, size, size, generator=generator) for count in channels]


def run(layer, mixture, x, one_by_one):
    """Output, all gradients and all buffers of a fresh copy of a layer."""
    layer, x = copy.deepcopy(layer), x.clone().requires_grad_()
    mixture = {c: weight.clone().requires_grad_() for c, weight in mixture.items()}
    if one_by_one:
        y = sum(weight * layer[c](x) for c, weight in mixture.items())
    else:
        assert wide.fits(layer)
        y = branched_supernet._run_layer(layer, mixture, x)
    generator = torch.Generator().manual_seed(2)
    y.backward(torch.randn(y.shape, generator=generator, dtype=y.dtype))
    gradients = {'x': x.grad, **{f'weight {c}': weight.grad for c, weight in mixture.items()}}
    gradients |= {name: parameter.grad for name, parameter in layer.named_parameters()}
    return y.detach(), gradients, dict(layer.named_buffers())


def check_same(layer, mixture, x, rtol=1e-4):
    ours, plain = (run(layer, mixture, x, one_by_one) for one_by_one in (False, True))
    torch.testing.assert_close(ours[0], plain[0], rtol=1e-5, atol=1e-5)
    assert ours[0].std() > 0.1
    for name, expected in plain[1].items():
        if expected is None:
            assert ours[1][name] is None, name
        else:
            scale = (
                plain[1]['x'].abs().max() if name.startswith('weight ') else expected.abs().max()
            )
            error = (ours[1][name] - expected).abs().max()
            assert error <= rtol * scale + 1e-6, name
    for name, expected in plain[2].items():
        torch.testing.assert_close(ours[2][name], expected, rtol=1e-5, atol=1e-5)


WEIGHTS = {0: torch.tensor(0.5), 1: torch.tensor(0.2), 2: torch.tensor(0.3)}


class TestLayers:
    @pytest.mark.parametrize('tracks', [True, False])
    def test_every_layer_of_the_encoders(self, supernet, tracks):
        for module in supernet.layers.modules():
            if isinstance(module, _BatchNorm):
                module.track_running_stats = tracks
        for index, x in enumerate(inputs_of(supernet)):
            check_same(supernet.layers[index], WEIGHTS, x)

    def test_some_candidates_with_weights_of_another_sum(self, supernet):
        mixture = {2: torch.tensor(0.7), 0: torch.tensor(0.9)}
        inputs = inputs_of(supernet)
        for index in (2, len(supernet.layers) - 1):
            check_same(supernet.layers[index], mixture, inputs[index])

    def test_normalisations_that_do_not_train(self, supernet):
        for module in supernet.layers.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        for index, x in enumerate(inputs_of(supernet)):
            check_same(supernet.layers[index], WEIGHTS, x)

    def test_synchronised_normalisation(self, supernet):
        supernet = nn.SyncBatchNorm.convert_sync_batchnorm(supernet)
        inputs = inputs_of(supernet)
        for index in (2, len(supernet.layers) - 1):
            check_same(supernet.layers[index], WEIGHTS, inputs[index])

    @pytest.mark.parametrize('affine', [True, False])
    @pytest.mark.parametrize(
        'make',
        [
            lambda: InvertedResidual(2, 2, 1, 2),
            lambda: InvertedResidual(2, 2, 1, 2, dilation=2),
            lambda: ContextModule(2, 2, (1,)),
        ],
        ids=['block', 'dilated block', 'context'],
    )
    def test_gradients_are_those_of_the_function(self, make, affine):
        torch.manual_seed(0)
        layer = nn.ModuleList(make() for _ in range(2)).double()
        for block in layer:
            last = block.conv[-1] if isinstance(block, InvertedResidual) else block.projection
            last.bn = nn.BatchNorm2d(2, affine=affine).double()
        x = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
        weights = torch.tensor([0.4, 0.6], dtype=torch.float64, requires_grad=True)

        def mix(x, weights, *parameters):
            return wide.mixture([*layer], [*weights], x)

        assert wide.fits(layer)
        assert torch.autograd.gradcheck(mix, (x, weights, *layer.parameters()), atol=1e-4)


class TestSupernet:
    def one_by_one(self, monkeypatch):
        monkeypatch.setattr(wide, 'fits', lambda candidates: False)

    def run(self, supernet, images):
        torch.manual_seed(3)
        supernet = copy.deepcopy(supernet)
        features = supernet(images)
        generator = torch.Generator().manual_seed(4)
        maps = [m for pair in features.values() for m in pair]
        noise = [torch.randn(m.shape, generator=generator, dtype=m.dtype) for m in maps]
        sum((m * n).mean() for m, n in zip(maps, noise, strict=True)).backward()
        gradients = {name: p.grad for name, p in supernet.named_parameters()}
        return maps, gradients, dict(supernet.named_buffers())

    def test_whole_network_in_double_precision(self, supernet, monkeypatch):
        # In single precision deep networks of small maps amplify rounding, in either order.
        supernet.double()
        images = torch.randn(2, 3, 48, 48, dtype=torch.float64)
        ours = self.run(supernet, images)
        self.one_by_one(monkeypatch)
        plain = self.run(supernet, images)
        torch.testing.assert_close(ours[0], plain[0], rtol=1e-9, atol=1e-9)
        for part in (1, 2):
            for name, expected in plain[part].items():
                torch.testing.assert_close(ours[part][name], expected, rtol=1e-6, atol=1e-9)
        assert ours[1]['arch_params'].abs().min() > 0

    def test_architecture_phase_gives_no_other_gradients(self, supernet):
        for parameter in supernet.weights():
            parameter.requires_grad_(False)
        features = supernet(torch.randn(2, 3, 48, 48), ['edge'])
        sum(m.square().mean() for m in features['edge']).backward()
        assert supernet.arch_params.grad[:, 2].abs().min() > 0
        assert supernet.arch_params.grad[:, :2].abs().max() == 0
        assert all(parameter.grad is None for parameter in supernet.weights())

    def test_mixed_precision(self, supernet):
        with torch.autocast('cpu', torch.bfloat16):
            features = supernet(torch.randn(2, 3, 48, 48))
        sum(m.float().square().mean() for pair in features.values() for m in pair).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in supernet.parameters())

    def test_mixed_precision_keeps_maps_narrow(self, supernet, monkeypatch):
        """Autocast on GPUs has addcmul return the widest type that it is given."""
        layer, x = supernet.layers[2], inputs_of(supernet)[2]
        addcmul, types = torch.addcmul, []
        monkeypatch.setattr(
            torch, 'addcmul', lambda *args: types.extend(a.dtype for a in args) or addcmul(*args)
        )
        with torch.autocast('cpu', torch.bfloat16):
            branched_supernet._run_layer(layer, WEIGHTS, x.bfloat16())
        assert types == [torch.bfloat16] * 3


def _convolution(**options):
    settings = {'padding': 1, 'groups': 48, 'norm_cfg': {'type': 'BN'}, **options}
    return ConvModule(48, 48, 3, **settings)


class TestFits:
    def test_mobilenet_runs_wide_and_resnet_does_not(self, supernet, toys):
        assert all(map(wide.fits, supernet.layers))
        assert not any(map(wide.fits, toys.supernet(TASKS, toys.RESNET).layers))

    def test_hooks_are_called(self, supernet):
        layer, calls = supernet.layers[2], []
        assert wide.fits(layer)
        part = [*layer[2].modules()][-1]
        handle = part.register_forward_hook(lambda *_: calls.append(1))
        assert not wide.fits(layer)
        branched_supernet._run_layer(layer, WEIGHTS, inputs_of(supernet)[2])
        assert calls
        handle.remove()
        assert wide.fits(layer)

    def test_forwards_put_in_place_are_called(self, supernet):
        layer = supernet.layers[1]
        layer[0].forward = layer[0].forward
        assert not wide.fits(layer)

    def test_unknown_blocks_run_one_after_another(self):
        layer = nn.ModuleList(nn.Sequential(nn.Conv2d(2, 2, 1), nn.Sigmoid()) for _ in range(3))
        assert not wide.fits(layer)
        x = torch.randn(1, 2, 4, 4)
        found = branched_supernet._run_layer(layer, WEIGHTS, x)
        torch.testing.assert_close(found, sum(w * layer[c](x) for c, w in WEIGHTS.items()))

    @pytest.mark.parametrize('looked', [False, True])
    @pytest.mark.parametrize(
        'change',
        [
            lambda layer: setattr(layer[1].conv[0], 'activate', nn.Hardswish()),
            lambda layer: layer.__setitem__(1, InvertedResidual(8, 8, 1, 6, dilation=2)),
            lambda layer: setattr(layer[2].conv[1], 'bn', nn.BatchNorm2d(48, eps=0.5)),
            lambda layer: layer[0].eval(),
            lambda layer: layer[1].conv[1].eval(),
            lambda layer: setattr(layer[2].conv[0].bn, 'track_running_stats', False),
        ],
        ids=['activation', 'dilation', 'eps', 'frozen', 'frozen part', 'statistics'],
    )
    def test_candidates_that_are_not_alike(self, supernet, change, looked):
        """Each runs by itself, also where it was changed after they have run as one."""
        layer = supernet.layers[2]
        if looked:
            assert wide.fits(layer)
        change(layer)
        x = inputs_of(supernet)[2]
        expected = sum(w * layer[c](x) for c, w in WEIGHTS.items())
        found = branched_supernet._run_layer(layer, WEIGHTS, x)
        torch.testing.assert_close(found, expected)
        assert not wide.fits(layer)

    def test_cumulative_statistics(self, toys):
        """How much a batch counts depends on how many there were, in each candidate."""
        norm_cfg = {'type': 'BN', 'momentum': None}
        supernet = toys.supernet(TASKS, {**toys.MOBILENET, 'norm_cfg': norm_cfg})
        assert not any(map(wide.fits, supernet.layers))

    def test_dropout_that_is_switched_on(self, supernet):
        layer, x = supernet.layers[-1], inputs_of(supernet)[-1]
        for candidate in layer:
            candidate.dropout.p = 1.0
        assert wide.fits(layer)
        found = branched_supernet._run_layer(layer, WEIGHTS, x)
        assert found.abs().max() < 1e-4  # of nothing, the normalisation makes nothing

    @pytest.mark.parametrize(
        'change',
        [
            lambda block: setattr(block, 'with_cp', True),
            lambda block: setattr(block.conv[1].conv, 'padding_mode', 'reflect'),
            lambda block: setattr(block.conv[1], 'order', ('conv', 'act', 'norm')),
            lambda block: block.conv.__setitem__(1, ConvModule(48, 48, 3, groups=48)),
            lambda block: block.conv.__setitem__(1, _convolution(padding_mode='reflect')),
            lambda block: block.conv.__setitem__(1, _convolution(with_spectral_norm=True)),
            lambda block: block.conv.__setitem__(1, _convolution(groups=4)),
        ],
        ids=['with_cp', 'padding', 'order', 'no norm', 'pad layer', 'spectral norm', 'dense'],
    )
    def test_unknown_settings(self, toys, change):
        layer = toys.supernet(TASKS).layers[2]
        assert layer[0].conv[1].conv.in_channels == 48
        for block in layer:
            change(block)
        assert not wide.fits(layer)


class TestOperations:
    def test_relu6(self):
        x = torch.tensor([-1.0, 0.0, 3.0, 6.0, 7.0])
        gradients = []
        for function in (F.relu6, relu6_):
            leaf = x.clone().requires_grad_()
            y = function(leaf * 1)
            y.backward(torch.arange(1.0, 6.0))
            gradients.append(leaf.grad)
            assert y.tolist() == [0, 0, 3, 6, 6]
        assert torch.equal(*gradients)

    def test_relu6_works_in_place(self):
        x = torch.randn(3, 4)
        assert relu6_(x).data_ptr() == x.data_ptr()
        assert x.min() >= 0

    @pytest.mark.parametrize('bias', [None, torch.ones(6, dtype=torch.float64)])
    @pytest.mark.parametrize('stride', [(1, 1), (2, 2)])
    @pytest.mark.parametrize(
        ('kernel', 'padding', 'dilation'),
        [
            ((3, 3), (2, 2), (2, 2)),
            ((3, 5), (0, 3), (2, 1)),
            ((3, 3), (1, 2), (2, 2)),
            ((5, 3), (6, 4), (3, 2)),
            ((3, 3), (12, 12), (12, 12)),
        ],
    )
    def test_dilated_depthwise_convolution(self, kernel, padding, dilation, stride, bias):
        random = torch.Generator().manual_seed(0)
        x = torch.randn(2, 6, 9, 11, generator=random, dtype=torch.float64)
        weight = torch.randn(6, 1, *kernel, generator=random, dtype=torch.float64)
        found = []
        for function in (conv2d, F.conv2d):
            leaves = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
            y = function(*leaves, bias, stride, padding, dilation, 6)
            y.sin().sum().backward()
            found.append([y.detach(), *(leaf.grad for leaf in leaves)])
        torch.testing.assert_close(*found)
