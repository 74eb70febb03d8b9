"""Costs that depend on the number of copies: lists of all routings, samples, closed forms."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbmtas.cost import (
    count_groups,
    expected_cost,
    expected_madds,
    group_count_probs,
    routed_cost,
    routed_madds,
    sampled_expected_cost,
)
from mmbmtas.structures import BranchedArchitecture, TaskGrouping, all_groupings


def random_probs(num_layers, num_tasks, num_candidates, seed=0, bias=0.0):
    generator = torch.Generator().manual_seed(seed)
    shape = num_layers, num_tasks, num_candidates
    values = torch.randn(shape, dtype=torch.float64, generator=generator)
    values[..., 0] += bias
    return values.softmax(-1)


def random_costs(num_layers, num_tasks, seed=0):
    return torch.rand(num_layers, num_tasks, generator=torch.Generator().manual_seed(seed)).double()


def listed_counts(probs):
    """Add up the probabilities of all routings by the number of groups of their trees."""
    num_layers, num_tasks, num_candidates = probs.shape
    tasks = [f't{t}' for t in range(num_tasks)]
    counts = torch.zeros(num_layers, num_tasks, dtype=torch.float64)
    for flat in product(range(num_candidates), repeat=num_layers * num_tasks):
        routing = np.reshape(flat, (num_tasks, num_layers))
        tree = BranchedArchitecture.from_routing(
            tasks, {'type': 'E'}, dict(zip(tasks, routing, strict=True))
        )
        probability = np.prod([probs[la, t, c] for (t, la), c in np.ndenumerate(routing)])
        for layer, grouping in enumerate(tree.groupings):
            counts[layer, grouping.num_groups - 1] += probability
    return counts


def layered_counts(probs):
    """Carry the distribution over all partitions from layer to layer, nothing subtracted."""
    num_tasks = probs.shape[1]
    before = {TaskGrouping.shared(num_tasks): 1.0}
    counts = np.zeros(probs.shape[:2])
    for layer, here in enumerate(probs.numpy()):
        now = dict.fromkeys(all_groupings(num_tasks), 0.0)
        for grouping, parent in product(now, before):
            if grouping.refines(parent):
                parts = [[p for p in grouping.groups if p[0] in group] for group in parent.groups]
                now[grouping] += before[parent] * np.prod([parting(here, part) for part in parts])
        for grouping, probability in now.items():
            counts[layer, grouping.num_groups - 1] += probability
        before = now
    return torch.from_numpy(counts)


def parting(probs, groups):
    """Probability that each group takes one candidate, and no two groups the same."""
    together = np.array([probs[list(group)].prod(axis=0) for group in groups])
    chosen = permutations(range(probs.shape[1]), len(groups))
    return sum(together[range(len(groups)), row].prod() for row in map(list, chosen))


@pytest.mark.parametrize(
    'shape', [(1, 1, 1), (2, 1, 3), (1, 3, 2), (2, 2, 3), (3, 3, 2), (2, 4, 2), (1, 5, 3)]
)
def test_counts_are_those_of_a_list_of_all_routings(shape):
    probs, costs = random_probs(*shape), random_costs(*shape[:2])
    expected = listed_counts(probs)
    torch.testing.assert_close(group_count_probs(probs), expected, rtol=0, atol=1e-12)
    assert expected_cost(probs, costs).item() == pytest.approx((expected * costs).sum().item())


@pytest.mark.parametrize(('shape', 'bias'), [((4, 4, 4), 0), ((4, 4, 4), 3), ((3, 5, 4), 2)])
def test_counts_are_those_of_the_partitions_layer_by_layer(shape, bias):
    probs = random_probs(*shape, bias=bias)
    expected = layered_counts(probs)
    torch.testing.assert_close(group_count_probs(probs), expected, rtol=0, atol=1e-12)


@given(st.integers(2, 8), st.integers(1, 5), st.integers(2, 8), st.integers(0, 99))
@settings(max_examples=10)
def test_agrees_with_samples(num_tasks, num_layers, num_candidates, seed):
    probs = random_probs(num_layers, num_tasks, num_candidates, seed, bias=2.0)
    costs, num_samples = random_costs(num_layers, num_tasks, seed), 4000
    uniform = torch.from_numpy(
        np.random.default_rng(seed).random((num_samples, num_layers, num_tasks, 1))
    )
    copies = count_groups((uniform > probs.cumsum(-1)[..., :-1]).sum(-1))
    samples = torch.stack([costs[la][copies[:, la] - 1] for la in range(num_layers)]).sum(0)
    error = samples.std().item() / num_samples**0.5
    assert abs(expected_cost(probs, costs).item() - samples.mean().item()) < 5 * error + 1e-9


@pytest.mark.parametrize('num_tasks', range(1, 9))
@pytest.mark.parametrize('bias', [0.0, 4.0])
def test_costs_in_proportion_are_expected_madds(num_tasks, bias):
    logits = random_probs(18, num_tasks, num_tasks, bias=bias).log().requires_grad_()
    madds = torch.rand(18, dtype=torch.float64)
    costs = madds[:, None] * torch.arange(1, num_tasks + 1)
    found, expected = (
        f(logits.softmax(-1), values)
        for f, values in ((expected_cost, costs), (expected_madds, madds))
    )
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=0)
    slopes = (torch.autograd.grad(value, logits)[0] for value in (found, expected))
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-8)


@pytest.mark.parametrize(('num_tasks', 'error'), [(8, 1e-9), (10, 1e-6)])
@pytest.mark.parametrize('bias', [0.0, 2.0, 6.0])
def test_error_is_as_small_as_stated(num_tasks, error, bias):
    probs = random_probs(18, num_tasks, num_tasks, bias=bias)
    counts = group_count_probs(probs)
    groups = counts @ torch.arange(1, num_tasks + 1, dtype=torch.float64)
    assert (counts.sum(1) - 1).abs().max() < error
    assert counts.min() > -error
    assert abs(groups.sum() - expected_madds(probs, [1] * 18)) < 18 * error


def test_gradients_are_right_also_at_certain_choices():
    parameters = torch.randn(4, 4, 4, dtype=torch.float64) * 3
    certain = torch.eye(4, dtype=torch.float64)[torch.randint(4, (4, 4))]

    def cost(parameters):
        probs = parameters.softmax(-1)
        mixed = torch.cat([probs[:2], certain[:1], 0.5 * probs[3:] + 0.5 * certain[3:]])
        return expected_cost(mixed, random_costs(4, 4))

    assert torch.autograd.gradcheck(cost, parameters.requires_grad_())


@pytest.mark.parametrize('num_tasks', [1, 2, 5, 10])
def test_certain_routing_costs_what_its_tree_costs(num_tasks):
    routing = torch.randint(3, (6, num_tasks), generator=torch.Generator().manual_seed(1))
    routing[:2] = 0
    costs, probs = random_costs(6, num_tasks), torch.eye(3)[routing].requires_grad_()
    paths = [tuple(routing[:, t].tolist()) for t in range(num_tasks)]
    copies = [len({path[:n] for path in paths}) for n in range(1, 7)]
    assert count_groups(routing).tolist() == copies
    expected = sum(costs[layer, n - 1].item() for layer, n in enumerate(copies))
    assert routed_cost(routing, costs).item() == pytest.approx(expected)
    assert routed_madds(routing, [1] * 6).item() == sum(copies)
    for found in (expected_cost(probs, costs), sampled_expected_cost(probs, costs)):
        assert found.item() == pytest.approx(expected, rel=1e-6)
        found.backward()
        assert probs.grad.isfinite().all()


class TestSampled:
    """The estimate beyond 10 tasks; at 10 against the exact value, with its gradient."""

    def estimates(self, logits, costs, count, num_samples=32):
        generator = torch.Generator().manual_seed(1)
        values, slopes = [], []
        for _ in range(count):
            value = sampled_expected_cost(logits.softmax(-1), costs, num_samples, generator)
            values.append(value.detach())
            slopes.append(torch.autograd.grad(value, logits)[0])
        return torch.stack(values), torch.stack(slopes)

    @pytest.mark.parametrize(('shape', 'bend'), [((5, 10, 10), 0.3), ((4, 3, 4), 1.0)])
    def test_mean_is_the_exact_expectation_and_so_is_that_of_the_gradient(self, shape, bend):
        num_layers, num_tasks, _ = shape
        logits = random_probs(*shape, bias=3.0).log().requires_grad_()
        line = torch.linspace(0.5, 2, num_layers)[:, None] * torch.arange(1, num_tasks + 1)
        costs = line + bend * random_costs(num_layers, num_tasks)
        exact = expected_cost(logits.softmax(-1), costs)
        (slope,) = torch.autograd.grad(exact, logits)
        count = 300
        values, slopes = self.estimates(logits, costs, count)
        assert (values.mean() - exact).abs() < 4 * values.std() / count**0.5
        assert values.std() < 0.05 * exact  # of one estimate
        generator = torch.Generator().manual_seed(5)
        directions = torch.randn(slope.numel(), 20, dtype=torch.float64, generator=generator)
        off = (slopes - slope).flatten(1) @ directions
        assert (off.mean(0).abs() < 5 * off.std(0) / count**0.5).all()
        assert (slopes.mean(0) - slope).norm() < 0.05 * slope.norm()

    def test_gradient_of_few_samples_is_no_shorter(self):
        """With two, what their own mean takes away is half of it."""
        logits = torch.tensor([0.8, 0.2]).double().log().expand(1, 3, 2).clone().requires_grad_()
        costs = [[0.0, 5.0, 1.0]]
        (slope,) = torch.autograd.grad(expected_cost(logits.softmax(-1), costs), logits)
        _, slopes = self.estimates(logits, costs, 500, 2)
        length = (slopes * slope).flatten(1).sum(1) / slope.square().sum()
        assert abs(length.mean() - 1) < 5 * length.std() / 500**0.5 < 0.3

    def test_costs_on_a_line_are_exact(self):
        logits = random_probs(4, 5, 5, bias=1.0).log().requires_grad_()
        costs = 3 + torch.arange(5) * torch.tensor([[1.0], [2.0], [0.0], [4.0]])
        values = [f(logits.softmax(-1), costs) for f in (expected_cost, sampled_expected_cost)]
        torch.testing.assert_close(*values)
        slopes = (torch.autograd.grad(value, logits)[0] for value in values)
        torch.testing.assert_close(*slopes)

    def test_of_many_tasks(self):
        """At uniform probabilities C^l ways are equally likely in layer l."""
        probs = torch.full((3, 24, 24), 1 / 24).double()
        costs = torch.arange(1, 25).double().sqrt().expand(3, -1)
        ways = 24.0 ** torch.arange(1, 4)
        groups = (ways * (1 - (1 - 1 / ways) ** 24)).double()
        found = torch.stack([sampled_expected_cost(probs, costs, 200) for _ in range(5)])
        # A root is almost linear over the few counts that occur.
        assert found.mean().item() == pytest.approx(groups.sqrt().sum().item(), rel=2e-3)

    def test_type_and_reproducibility(self):
        probs = random_probs(3, 4, 4).float()
        one, other = (
            sampled_expected_cost(probs, random_costs(3, 4), 8, torch.Generator().manual_seed(7))
            for _ in range(2)
        )
        assert one.dtype == torch.float32
        assert one.shape == ()
        assert one == other

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match='num_samples 1: expected 2 or more'):
            sampled_expected_cost(random_probs(2, 3, 3), random_costs(2, 3), 1)


@pytest.mark.parametrize('function', [expected_cost, sampled_expected_cost])
@pytest.mark.parametrize(
    ('probs', 'costs', 'message'),
    [
        (torch.ones(2, 1, 1), [1, 1], r'costs have shape \(2,\), expected \(2, 1\)'),
        (torch.ones(2, 1, 1), [[1], [-1]], 'costs hold negative'),
        (torch.ones(2, 1, 1), [[1], [float('inf')]], 'costs hold'),
        (torch.zeros(1, 3, 3), [[1, 1, 1]], 'give the softmax'),
        (torch.ones(2, 2), [[1], [1]], 'expected floating point of shape'),
    ],
)
def test_refuses_other_shapes_and_numbers(function, probs, costs, message):
    with pytest.raises(ValueError, match=message):
        function(probs, costs)


def test_too_many_tasks():
    with pytest.raises(ValueError, match='11 tasks, expected at most 10'):
        expected_cost(torch.ones(1, 11, 1), torch.ones(1, 11))
