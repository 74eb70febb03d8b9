"""The sampled estimate against the exact expectation: value, gradient and limits."""

import pytest
import torch

from mmbmtas.cost import (
    expected_madds,
    routed_madds,
    sampled_expected_madds,
)
from mmbmtas.structures import BranchedArchitecture


def parameters(num_layers, num_tasks, num_candidates, scale=1.0, seed=0):
    """Architecture parameters; tasks agree on some candidate more often than by chance."""
    generator = torch.Generator().manual_seed(seed)
    shape = num_layers, num_tasks, num_candidates
    values = torch.randn(shape, dtype=torch.float64, generator=generator) * scale
    values[:, :, 0] += 2 * scale
    return values.requires_grad_()


def estimates(alpha, costs, count, num_samples=8, seed=1):
    """Independent estimates of the cost and of its gradient, a row each."""
    generator = torch.Generator().manual_seed(seed)
    values, gradients = [], []
    for _ in range(count):
        value = sampled_expected_madds(alpha.softmax(-1), costs, num_samples, generator)
        values.append(value.detach())
        gradients.append(torch.autograd.grad(value, alpha)[0])
    return torch.stack(values), torch.stack(gradients)


@pytest.mark.parametrize(
    ('shape', 'per_candidate'), [((6, 10, 10), False), ((5, 4, 3), True), ((2, 2, 2), False)]
)
def test_mean_is_the_exact_expectation_and_so_is_that_of_the_gradient(shape, per_candidate):
    alpha, count = parameters(*shape), 200
    generator = torch.Generator().manual_seed(5)
    costs = torch.rand(shape[0], shape[2], dtype=torch.float64, generator=generator) + 0.1
    costs = costs if per_candidate else costs[:, 0]
    exact = expected_madds(alpha.softmax(-1), costs)
    (slope,) = torch.autograd.grad(exact, alpha)
    values, gradients = estimates(alpha, costs, count)
    error = values.std() / count**0.5
    assert (values.mean() - exact).abs() < 4 * error + 1e-12
    assert values.std() < 0.1 * exact  # of one estimate
    # Along random directions: single entries are sums of few rare events.
    directions = torch.randn(slope.numel(), 20, dtype=torch.float64, generator=generator)
    off = (gradients - slope).flatten(1) @ directions
    assert (off.mean(0).abs() < 5 * off.std(0) / count**0.5).all()
    assert (gradients.mean(0) - slope).norm() < 0.05 * slope.norm()


def test_exact_for_one_layer_with_its_gradient():
    alpha = parameters(1, 6, 4)
    exact = expected_madds(alpha.softmax(-1), [3.0])
    found = sampled_expected_madds(alpha.softmax(-1), [3.0], 2)
    torch.testing.assert_close(found, exact)
    (slope, expected) = (torch.autograd.grad(value, alpha)[0] for value in (found, exact))
    torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize('num_tasks', [1, 5, 40])
def test_certain_routing_costs_what_its_tree_costs(num_tasks):
    routing = torch.randint(2, (6, num_tasks), generator=torch.Generator().manual_seed(1))
    routing[:2] = 0
    probs = torch.eye(2)[routing].requires_grad_()
    paths = [tuple(routing[:, t].tolist()) for t in range(num_tasks)]
    expected = sum(n * len({path[:n] for path in paths}) for n in range(1, 7))
    found = sampled_expected_madds(probs, [1, 2, 3, 4, 5, 6])
    assert found.item() == pytest.approx(expected)
    assert routed_madds(routing, [1, 2, 3, 4, 5, 6]).item() == expected
    found.backward()
    assert probs.grad.isfinite().all()


def test_routed_madds_are_those_of_the_tree():
    routing = torch.randint(3, (4, 5), generator=torch.Generator().manual_seed(2))
    routing[:2, :3] = 1
    tasks = [f't{t}' for t in range(5)]
    ways = dict(zip(tasks, routing.T.tolist(), strict=True))
    tree = BranchedArchitecture.from_routing(tasks, {'type': 'E'}, ways)
    costs = [3.0, 5.0, 7.0, 11.0]
    expected = sum(c * k.num_groups for c, k in zip(costs, tree.groupings, strict=True))
    assert routed_madds(routing, costs).item() == expected


def test_equal_probabilities_of_many_tasks():
    """At uniform probabilities C^l ways are equally likely in layer l: an occupancy problem."""
    num_tasks, num_layers = 24, 4
    probs = torch.full((num_layers, num_tasks, num_tasks), 1 / num_tasks, dtype=torch.float64)
    ways = [float(num_tasks**layer) for layer in range(1, num_layers + 1)]
    expected = sum(n * (1 - (1 - 1 / n) ** num_tasks) for n in ways)
    # What a way leaves open is the same for all ways, so that nothing varies.
    assert sampled_expected_madds(probs, [1.0] * num_layers, 2).item() == pytest.approx(expected)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
def test_type_and_reproducibility(dtype):
    probs = parameters(3, 4, 4).softmax(-1).detach().to(dtype)
    one, other = (
        sampled_expected_madds(probs, [1, 2, 3], generator=torch.Generator().manual_seed(7))
        for _ in range(2)
    )
    assert one.dtype == dtype
    assert one.shape == ()
    assert one == other


def test_bad_arguments():
    probs = torch.full((2, 3, 3), 1 / 3)
    with pytest.raises(ValueError, match='num_samples 1: expected 2 or more'):
        sampled_expected_madds(probs, [1, 1], 1)
    with pytest.raises(ValueError, match='give the softmax'):
        sampled_expected_madds(torch.zeros(2, 3, 3), [1, 1])
