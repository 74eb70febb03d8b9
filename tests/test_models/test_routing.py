"""Schemes of routing: which candidates run, what they give, and what gradient the routing gets."""

import copy
from collections import Counter

import pytest
import torch
from torch.nn import functional as F

from mmbmtas.models.backbones.routing import (
    HardRouting,
    SoftRouting,
    ThresholdRouting,
    TopKRouting,
    build_routing,
)

TASKS = ('semseg', 'normals', 'edge')
HARD, TOP2 = {'type': 'HardRouting'}, {'type': 'TopKRouting', 'k': 2}
THRESHOLD = {'type': 'ThresholdRouting', 'threshold': 0.3}
each_scheme = pytest.mark.parametrize(
    'routing', [HARD, TOP2, THRESHOLD], ids=['hard', 'top2', 'threshold']
)


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def make(toys):
    """Supernets that differ in nothing but their scheme."""

    def build(routing=None, encoder=toys.MOBILENET):
        torch.manual_seed(0)
        supernet = toys.supernet(TASKS, encoder, routing=routing)
        supernet.init_weights()
        with torch.no_grad():
            for parameter in supernet.weights():  # candidates start alike
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5))
            supernet.arch_params.normal_()
        return supernet

    return build


def encode(supernet, images, seed=1, task='normals'):
    """Encode for one task with given noise; the candidates that ran, and the features."""
    ran = set()
    hooks = [
        candidate.register_forward_hook(lambda *_, key=(layer, index): ran.add(key))
        for layer, candidates in enumerate(supernet.layers)
        for index, candidate in enumerate(candidates)
    ]
    torch.manual_seed(seed)
    features = supernet(images, [task])[task]
    for hook in hooks:
        hook.remove()
    return ran, features


def sampled(supernet, seed=1, task='normals'):
    torch.manual_seed(seed)
    return supernet.sample_routing(task).detach()


def looped(supernet, images, weights):
    """The network as a plain loop over a matrix of weights ``(L, C)``, zero where none runs."""
    supernet = copy.deepcopy(supernet)
    x = supernet.stem(images)
    for layer, candidates in enumerate(supernet.layers):
        x = sum(w * op(x) for w, op in zip(weights[layer], candidates, strict=True) if w)
        if layer == supernet.encoder.low_level_index:
            low = x
    return low, x


@pytest.mark.parametrize('encoder', ['MOBILENET', 'RESNET'])
def test_hard_gives_the_sampled_candidates_outputs_exactly(encoder, make, toys, images):
    supernet = make(HARD, getattr(toys, encoder))
    choice = sampled(supernet).argmax(-1)
    images = images.contiguous(memory_format=torch.channels_last)  # as training has them on CPUs
    expected = looped(supernet, images, F.one_hot(choice, 3).tolist())
    ran, found = encode(supernet, images)
    assert ran == set(enumerate(choice.tolist()))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_top_k_is_the_renormalised_sum_of_the_largest(make, images):
    supernet = make(TOP2)
    z = sampled(supernet)
    kept = z * (z > z.min(-1, keepdim=True).values)
    kept = kept / kept.sum(-1, keepdim=True)
    expected = looped(supernet, images, kept)
    ran, found = encode(supernet, images)
    assert ran == {tuple(position) for position in kept.nonzero().tolist()}
    assert len(ran) == 2 * 18
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_those_above_the_threshold_run_and_the_largest_always(make, images):
    supernet = make(THRESHOLD)
    z = sampled(supernet)
    kept = z * (z >= 0.3)
    kept = kept / kept.sum(-1, keepdim=True)
    expected = looped(supernet, images, kept)
    ran, found = encode(supernet, images)
    assert ran == {tuple(position) for position in kept.nonzero().tolist()}
    assert len({*Counter(layer for layer, _ in ran).values()}) > 1  # how many, by layer
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    # Below the threshold, but the largest.
    (alone,) = ThresholdRouting(5, 0.4)(torch.tensor([[0.1, 0.2, 0.35, 0.15, 0.2]]))
    assert alone == {2: 1.0}
    # On the threshold is not below it.
    (both,) = ThresholdRouting(3, 0.25)(torch.tensor([[0.25, 0.75, 0.0]]))
    assert both == {0: 0.25, 1: 0.75}


@pytest.mark.parametrize('scheme', [TopKRouting(3, 3), ThresholdRouting(3, 0.0)])
def test_all_candidates_are_soft(scheme, make):
    z = sampled(make())
    for one, other in zip(SoftRouting(3)(z), scheme(z), strict=True):
        for candidate in range(3):
            torch.testing.assert_close(one[candidate], other[candidate], rtol=0, atol=1e-6)


def test_top_k_of_all_is_soft_in_the_network(make, images):
    results = []
    for routing in (None, {'type': 'TopKRouting', 'k': 3}):
        supernet = make(routing).double()
        _, (_, context) = encode(supernet, images.double())
        context.square().mean().backward()
        results.append((context, supernet.arch_params.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@each_scheme
def test_gradients_reach_the_tasks_rows_and_what_ran(routing, make, images):
    supernet = make(routing)
    ran, (_, context) = encode(supernet, images)
    context.square().sum().backward()
    gradient = supernet.arch_params.grad
    assert gradient.isfinite().all()
    assert gradient[:, 1].abs().sum() > 0
    assert (gradient[:, [0, 2]] == 0).all()
    torch.testing.assert_close(gradient.sum(-1), torch.zeros(18, 3), rtol=0, atol=1e-3)
    reached = {
        (layer, index)
        for layer, candidates in enumerate(supernet.layers)
        for index, candidate in enumerate(candidates)
        if any(p.grad is not None for p in candidate.parameters())
    }
    assert reached == ran


@each_scheme
def test_other_modes_and_checkpoints_are_as_ever(routing, make, images):
    soft, other = make(), make(routing)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(soft.state_dict())
    for mode, training in (('warmup', True), ('argmax', True), ('relaxed', False)):
        results = []
        for supernet in (soft, other):
            supernet.set_routing_mode(mode)
            results.append(encode(supernet.train(training), images))
        (ran, expected), (also_ran, found) = results
        assert ran == also_ran
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


NOISE = torch.tensor([0.3, 1.1, -0.4], dtype=torch.float64)
OUTPUTS = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)  # candidates' part in a linear loss


def mixed(scheme, alpha, noise, tau=0.7):
    """The sum of ``OUTPUTS`` as a scheme weighs them."""
    (mixture,) = scheme(((alpha + noise) / tau).softmax(-1)[None])
    return sum(weight * OUTPUTS[candidate] for candidate, weight in mixture.items())


def slope(scheme, alpha, noise):
    alpha = alpha.clone().requires_grad_()
    return torch.autograd.grad(mixed(scheme, alpha, noise), alpha)[0]


def differences(function, alpha, step=1e-6):
    """Central differences of a function of the parameters."""
    units = torch.eye(len(alpha), dtype=alpha.dtype) * step
    return torch.stack([(function(alpha + u) - function(alpha - u)) / (2 * step) for u in units])


def test_gradient_of_hard_is_that_of_the_sampled_weight_alone():
    alpha = torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64)

    def weights(alpha):
        return ((alpha + NOISE) / 0.7).softmax(-1)

    c = int(weights(alpha).argmax())
    expected = differences(lambda a: weights(a)[c] * OUTPUTS[c], alpha)
    found = slope(HardRouting(3), alpha, NOISE)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    # With what did not run, it would be that of all candidates, which is torch's.
    of_all = differences(lambda a: (weights(a) * OUTPUTS).sum(), alpha)
    left_out = sum(
        differences(lambda a, k=k: weights(a)[k] * OUTPUTS[k], alpha) for k in range(3) if k != c
    )
    torch.testing.assert_close(found + left_out, of_all, rtol=1e-6, atol=1e-8)
    assert (found - of_all).abs().max() > 0.1


def test_torchs_straight_through_gradient_is_that_of_all_candidates():
    alpha = torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64, requires_grad=True)
    torch.manual_seed(2)
    hard = F.gumbel_softmax(alpha, tau=0.7, hard=True)
    (found,) = torch.autograd.grad((hard * OUTPUTS).sum(), alpha)
    torch.manual_seed(2)
    noise = -torch.empty_like(alpha).exponential_().log()
    expected = differences(
        lambda a: (((a + noise) / 0.7).softmax(-1) * OUTPUTS).sum(), alpha.detach()
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_gradient_of_top_k_is_that_of_a_softmax_over_what_runs():
    alpha = torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64)
    expected = differences(
        lambda a: (((a + NOISE) / 0.7)[:2].softmax(-1) * OUTPUTS[:2]).sum(), alpha
    )
    found = slope(TopKRouting(3, 2), alpha, NOISE)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    assert abs(found[2]) < 1e-12


def test_gradient_of_threshold_is_that_of_a_softmax_over_what_runs():
    alpha = torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64)
    z = ((alpha + NOISE) / 0.7).softmax(-1)  # 0.28, 0.58, 0.14
    for threshold, ran in ((0.1, [0, 1, 2]), (0.25, [0, 1]), (0.4, [1])):
        assert (z >= threshold).nonzero().flatten().tolist() == ran
        expected = differences(
            lambda a, ran=ran: (((a + NOISE) / 0.7)[ran].softmax(-1) * OUTPUTS[ran]).sum(), alpha
        )
        found = slope(ThresholdRouting(3, threshold), alpha, NOISE)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
        assert (found.abs() > 1e-3).sum() == (len(ran) if len(ran) > 1 else 0)


@pytest.mark.parametrize('threshold', [0.01, 0.1, 0.3])
def test_threshold_is_as_near_to_soft_as_the_class_says(threshold):
    torch.manual_seed(0)
    spread, furthest = OUTPUTS.max() - OUTPUTS.min(), 0.0
    for tau in (0.1, 1.0, 5.0):
        for _ in range(100):
            alpha, noise = torch.randn(3).double(), -torch.empty(3).exponential_().log().double()
            z = ((alpha + noise) / tau).softmax(-1)
            left_out = z[(z < threshold) & (z < z.max())].sum()
            assert left_out <= 2 * threshold
            slopes, outputs = [], []
            for scheme in (SoftRouting(3), ThresholdRouting(3, threshold)):
                a = alpha.clone().requires_grad_()
                outputs.append(mixed(scheme, a, noise, tau))
                slopes.append(torch.autograd.grad(outputs[-1], a)[0])
            bound = left_out * spread + 1e-9
            assert (outputs[0] - outputs[1]).abs() <= bound
            gap = (slopes[0] - slopes[1]).abs().max()
            assert gap <= 2 * bound / tau
            furthest = max(furthest, (gap * tau / bound).item() if left_out else 0.0)
    assert furthest > 0.5  # the bound is not idle


def test_mean_gradient_of_hard_at_equal_probabilities_points_as_the_true_one():
    """What the class says: a positive multiple of ``a - mean(a)``; elsewhere it is biased."""
    torch.manual_seed(0)
    noise = -torch.empty(20000, 3, dtype=torch.float64).exponential_().log()

    def mean_gradient(alpha, outputs):
        z = ((alpha + noise) / 0.7).softmax(-1)
        c = z.argmax(-1, keepdim=True)
        own = outputs[c] * z.gather(1, c)
        return (own * (torch.zeros_like(z).scatter(1, c, 1.0) - z) / 0.7).mean(0)

    even, uneven = torch.zeros(3).double(), torch.tensor([1.0, 0.0, -1.0]).double()
    assert torch.allclose(  # the formula above is the scheme's
        (OUTPUTS[1] * (w := (NOISE / 0.7).softmax(-1))[1] * (torch.eye(3).double()[1] - w) / 0.7),
        slope(HardRouting(3), even, NOISE),
    )
    centred = OUTPUTS - OUTPUTS.mean()
    assert torch.cosine_similarity(mean_gradient(even, OUTPUTS), centred, 0) > 0.999
    assert mean_gradient(even, torch.ones(3).double()).abs().max() < 0.01
    assert mean_gradient(uneven, torch.ones(3).double()).abs().max() > 0.05


def test_hard_learns_nothing_where_scale_is_normalised_away(make, images):
    """The other weakness that the class names, and that top-k lacks."""
    slopes = {}
    for name, routing in (('hard', HARD), ('top2', TOP2)):
        supernet = make(routing).double()
        _, (_, context) = encode(supernet, images.double())
        weights = torch.randn(context.shape, generator=torch.Generator().manual_seed(3))
        # The decoder's first step: a normalisation over the batch.
        loss = (F.batch_norm(context, None, None, training=True) * weights).sum()
        loss.backward()
        slopes[name] = supernet.arch_params.grad[-1, 1].abs().max()
    assert slopes['hard'] < 1e-3 * slopes['top2']


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        ({'type': 'Random'}, r"type 'Random': expected one of \['HardRouting', 'SoftRouting', 'T"),
        ({}, 'type None'),
        ({'type': 'ResNetEncoder'}, "type 'ResNetEncoder': expected one of"),
        ({'type': 'HardRouting', 'k': 2}, 'does not fit HardRouting'),
        ({'type': 'TopKRouting', 'k': 1}, r'k=1 .* expected 2 to 3'),
        ({'type': 'TopKRouting', 'k': 4}, r'k=4 .* expected 2 to 3'),
        ({'type': 'ThresholdRouting'}, 'does not fit ThresholdRouting'),
        ({'type': 'ThresholdRouting', 'threshold': 0.5}, 'threshold=0.5 .* less than 0.5'),
        ({'type': 'ThresholdRouting', 'threshold': -0.1}, 'threshold=-0.1 .* at least 0'),
    ],
)
def test_configs_are_checked(cfg, message):
    with pytest.raises(ValueError, match=message):
        build_routing(cfg, 3)


def test_the_default_is_soft(make):
    assert isinstance(make().mixtures, SoftRouting)
    mixture = Counter(len(layer) for layer in make().mixtures(torch.full((4, 3), 1 / 3)))
    assert mixture == {3: 4}
