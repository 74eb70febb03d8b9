"""The forms of a layer's mixture: the same numbers, and how one is chosen."""

import copy

import pytest
import torch
from torch import nn

from mmbmtas.cost import timing
from mmbmtas.errors import InputError
from mmbmtas.models.backbones import apart, forms, wide
from mmbmtas.models.backbones.forms import Forms, by_rule, possible_forms

TASKS = ('semseg', 'normals', 'edge')
LAYERS = [0, 1, 2, 3, 16]  # without expansion, strides 2 and 1, with a residual, dilated


@pytest.fixture
def layers(toys):
    supernet = toys.supernet(TASKS)
    toys.randomise(supernet)
    return supernet.double().train().layers


def input_of(layer, size=8):
    channels = next(m for m in layer.modules() if isinstance(m, nn.Conv2d)).in_channels
    return torch.randn(2, channels, size, size, dtype=torch.float64) + 3  # not centred


def results(layer, x, form=None):
    """Output, gradients and buffers, of a form or of one module after another."""
    layer, x = copy.deepcopy(layer), x.clone().requires_grad_()
    weights = [w.requires_grad_() for w in torch.tensor([0.5, 0.2, 0.4]).double()]
    if form is None:
        y = sum(weight * candidate(x) for weight, candidate in zip(weights, layer, strict=True))
    else:
        y = forms.run(form, [*layer], weights, x)
    y.sin().sum().backward()
    gradients = [x.grad, *(w.grad for w in weights), *(p.grad for p in layer.parameters())]
    return [y.detach(), *gradients, *layer.buffers()]


@pytest.mark.parametrize('tracks', [True, False])
@pytest.mark.parametrize('index', LAYERS)
def test_all_forms_compute_the_same(layers, index, tracks):
    """In double precision; running statistics as well."""
    for module in layers[index].modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = tracks
    x = input_of(layers[index])
    expected = results(layers[index], x)
    possible = possible_forms(layers[index], x)
    assert possible == (('wide', 'apart') if index == 0 else ('wide', 'apart', 'folded'))
    for form in possible:
        torch.testing.assert_close(results(layers[index], x, form), expected, rtol=1e-8, atol=1e-8)


def test_folding_rounds_as_well_as_torch_does(layers):
    """Inputs whose mean is 300 times their deviation: variances must not cancel."""
    layer = layers[2]
    x = input_of(layer, 16) * 0.1 + 30
    exact = results(layer, x)[0]
    single = copy.deepcopy(layer).float()
    errors = {}
    for form in (None, 'folded'):
        weights = [torch.tensor(w) for w in (0.5, 0.2, 0.4)]
        if form is None:
            y = sum(w * c(x.float()) for w, c in zip(weights, copy.deepcopy(single), strict=True))
        else:
            y = forms.run(form, [*copy.deepcopy(single)], weights, x.float())
        errors[form] = float((y.detach() - exact).abs().max())
    assert errors['folded'] <= 2 * errors[None] + 1e-6, errors


def test_gradients_are_not_differentiated_again(layers):
    """They would be wrong; torch says so."""
    x = input_of(layers[2]).requires_grad_()
    y = forms.run('folded', [*layers[2]], [*torch.ones(3).double()], x)
    (gradient,) = torch.autograd.grad(y.sin().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        gradient.sum().backward()


@pytest.mark.parametrize(
    'change',
    [
        lambda layer: layer.eval(),
        lambda layer: layer.float(),
        nn.SyncBatchNorm.convert_sync_batchnorm,
        lambda layer: [setattr(b.conv[0].norm, 'weight', None) for b in layer],
    ],
    ids=['statistics that stand', 'other precision', 'other ranks', 'no affine'],
)
def test_what_cannot_be_folded(layers, change):
    x = input_of(layers[2])
    assert apart.can_fold(layers[2][0], x)
    layer = layers[2]
    layer = change(layer) if isinstance(change(layer), nn.Module) else layer
    assert not apart.can_fold(layer[0], x)


def test_other_layers_and_devices_run_wide(layers, pretence):
    context = layers[-1]
    assert possible_forms(context, input_of(context)) == ('wide',)
    with pretence.pretend_gpu():
        x = input_of(layers[2]).to('cuda')
        assert possible_forms(layers[2].to('cuda'), x) == ('wide',)


def test_the_rule_goes_by_sizes(layers):
    block, possible = layers[2][0], forms.FORMS
    channels = block.conv[0].conv.in_channels
    widest = block.conv[0].conv.out_channels
    side = int((forms._LARGE / widest / 4) ** 0.5) + 2
    small = torch.empty(1, channels, side // 2, side // 2)
    large = torch.empty(1, channels, side, side)
    assert by_rule(block, small, 'weights', possible) == 'wide'
    assert by_rule(block, large, 'weights', possible) == 'folded'
    assert by_rule(block, large, 'weights', ('wide', 'apart')) == 'apart'
    many = torch.empty(1, 10_000, side, side, device='meta')  # too few pixels for its channels
    assert by_rule(block, many, 'weights', possible) == 'apart'


def test_the_fastest_is_taken(monkeypatch):
    now = iter([*[0, 0] * 2, *[0, 5, 0, 3] * 3])  # the first round does not count
    monkeypatch.setitem(timing.CLOCKS, 'wall', lambda: next(now))
    assert forms.fastest({'wide': lambda: None, 'apart': lambda: None}) == 'apart'


class TestTimed:
    @pytest.fixture
    def supernet(self, toys):
        return toys.supernet(TASKS, forms='timed').train()

    @pytest.fixture(autouse=True)
    def _turns(self, monkeypatch):
        """Let timings say one form after another."""
        self.asked = []

        def fastest(calls):
            for call in calls.values():
                call()
            self.asked.append([*calls])
            return [*calls][len(self.asked) % len(calls)]

        monkeypatch.setattr(forms, 'fastest', fastest)

    def test_each_layer_and_phase_once(self, supernet):
        images = torch.randn(2, 3, 32, 32)
        for _ in range(2):
            supernet(images)
        assert len(self.asked) == len(supernet.layers) - 1  # the context module has one form
        supernet.requires_grad_(False)
        supernet.arch_params.requires_grad_()
        supernet(images)
        assert len(self.asked) == 2 * (len(supernet.layers) - 1)
        assert {*supernet.forms.timed} == {'weights', 'arch'}
        assert {*supernet.forms.timed['arch'].values()} > {'wide', 'apart'}

    def test_nothing_changes_by_it(self, supernet, toys):
        """Neither statistics nor gradients nor random numbers."""
        twin = toys.supernet(TASKS).train()
        twin.load_state_dict(supernet.state_dict())
        images = torch.randn(2, 3, 32, 32).double()
        found = []
        for network in (supernet.double(), twin.double()):
            torch.manual_seed(0)
            features = network(images)
            sum(context.sum() for _, context in features.values()).backward()
            gradients = [p.grad for p in network.parameters()]
            found.append([features, gradients, [*network.buffers()], torch.rand(1)])
        torch.testing.assert_close(*found, rtol=1e-6, atol=1e-6)

    def test_checkpoints_hold_what_was_timed(self, supernet, toys):
        supernet(torch.randn(2, 3, 32, 32))
        count = len(self.asked)
        resumed = toys.supernet(TASKS, forms='timed').train()
        resumed.load_state_dict(supernet.state_dict())
        assert resumed.forms.timed == supernet.forms.timed
        resumed(torch.randn(2, 3, 32, 32))
        assert len(self.asked) == count
        by_rule = toys.supernet(TASKS)
        by_rule.load_state_dict(supernet.state_dict())
        assert not by_rule.forms.timed
        supernet.load_state_dict(by_rule.state_dict())

    def test_recomputed_layers_have_one_form(self, toys):
        supernet = toys.supernet(TASKS, forms='timed', with_cp=True).train()
        sum(f.sum() for f, _ in supernet(torch.randn(2, 3, 32, 32)).values()).backward()
        assert len(self.asked) == len(supernet.layers) - 1

    def test_damaged_forms_are_refused(self, supernet):
        with pytest.raises(InputError, match='forms in the checkpoint'):
            supernet.forms.load(['wide'])

    def test_what_cannot_run_is_replaced(self, supernet):
        """A checkpoint may be of another normalisation, or of another version."""
        supernet.forms.load({'weights': {'0': 'folded', '2': 'unheard of'}})
        for index in (0, 2):
            x = input_of(supernet.layers[index]).float()
            assert supernet.forms.of(index, supernet.layers[index], x) == 'apart'


def test_unknown_choices_are_refused():
    with pytest.raises(InputError, match="forms 'fast'"):
        Forms('fast')


def test_watched_candidates_run_by_themselves(layers):
    layers[2][1].conv[0].conv.register_forward_hook(lambda *_: None)
    assert not wide.fits(layers[2])
    assert Forms('rule').of(2, layers[2], input_of(layers[2], 64)) == 'wide'
