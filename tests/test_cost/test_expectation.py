from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbmtas.cost import expected_madds, recursive_expected_madds
from mmbmtas.structures import BranchedArchitecture, TaskGrouping, all_groupings

BOTH = pytest.mark.parametrize('expectation', [expected_madds, recursive_expected_madds])


def random_probs(num_layers, num_tasks, num_candidates, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = num_layers, num_tasks, num_candidates
    return torch.randn(shape, dtype=torch.float64, generator=generator).mul(2).softmax(-1)


def arch_params(num_tasks, first):
    values = torch.zeros(18, num_tasks, num_tasks, dtype=torch.float64)
    values[:, :, 0] = first
    return values.requires_grad_()


def listed_expectation(probs, costs):
    """Sum over every routing of its probability times the cost of its tree."""
    num_layers, num_tasks, num_candidates = probs.shape
    tasks = [f't{t}' for t in range(num_tasks)]
    costs = costs if costs.dim() == 2 else costs[:, None].expand(-1, num_candidates)
    total = 0.0
    for flat in product(range(num_candidates), repeat=num_layers * num_tasks):
        routing = np.reshape(flat, (num_tasks, num_layers))
        tree = BranchedArchitecture.from_routing(
            tasks, {'type': 'E'}, dict(zip(tasks, routing, strict=True))
        )
        probability = np.prod([probs[la, t, c] for (t, la), c in np.ndenumerate(routing)])
        total += probability * sum(
            costs[layer, routing[group[0], layer]].item()
            for layer, grouping in enumerate(tree.groupings)
            for group in grouping.groups
        )
    return total


def listed_recursion(probs, costs):
    """Eq. 6 as it stands, with the conditional from a list of all T^T samples of a layer."""
    num_tasks = probs.shape[1]
    apart = TaskGrouping.all_apart(num_tasks)
    before, total = None, 0.0
    for layer, cost in zip(probs.tolist(), costs.tolist(), strict=True):
        now = dict.fromkeys(all_groupings(num_tasks), 0.0)
        for sample in product(range(num_tasks), repeat=num_tasks):
            probability = np.prod([layer[t][c] for t, c in enumerate(sample)])
            now[TaskGrouping.from_labels(sample)] += probability
        if before is not None:
            for k in now:
                now[k] *= sum(p for m, p in before.items() if k.refines(m))
            now[apart] = 1 - sum(p for k, p in now.items() if k != apart)
        total += cost * sum(p * k.num_groups for k, p in now.items())
        before = now
    return total


@pytest.mark.parametrize(
    ('num_tasks', 'first', 'recursive', 'exact'),
    [
        (3, 0, 52.7857, 52.6250),
        (4, 0, 70.5294, 70.2508),
        (5, 0, 88.2381, 87.8779),
        (3, 2.5, 49.4806, 46.8881),
        (4, 2.5, 67.8764, 64.1017),
        (5, 2.5, 85.8858, 81.4993),
    ],
)
def test_vectors(num_tasks, first, recursive, exact):
    probs = arch_params(num_tasks, first).softmax(-1)
    assert recursive_expected_madds(probs, [1] * 18).item() == pytest.approx(recursive, abs=6e-5)
    assert expected_madds(probs, [1] * 18).item() == pytest.approx(exact, abs=6e-5)


def test_gradient_of_the_recursion_is_short_and_turned():
    parameters = arch_params(5, 2.5)
    exact, recursive = (
        torch.autograd.grad(f(parameters.softmax(-1), [1] * 18), parameters)[0].flatten()
        for f in (expected_madds, recursive_expected_madds)
    )
    assert (recursive.norm() / exact.norm()).item() == pytest.approx(0.55, abs=0.005)
    assert torch.cosine_similarity(exact, recursive, 0).item() == pytest.approx(0.82, abs=0.005)


@BOTH
@pytest.mark.parametrize('num_tasks', [2, 3, 5])
def test_gradient_vanishes_at_zero_parameters(expectation, num_tasks):
    parameters = arch_params(num_tasks, 0)
    expectation(parameters.softmax(-1), [1] * 18).backward()
    assert parameters.grad.abs().max() < 1e-14


@pytest.mark.parametrize(
    'shape', [(1, 1, 1), (2, 1, 3), (1, 3, 2), (2, 2, 3), (3, 3, 2), (2, 4, 2)]
)
def test_agrees_with_a_list_of_all_routings(shape):
    probs, costs = random_probs(*shape), torch.rand(shape[0], shape[2], dtype=torch.float64)
    for madds in (costs, costs[:, 0]):
        expected = listed_expectation(probs, madds)
        assert expected_madds(probs, madds).item() == pytest.approx(expected, rel=1e-12)


@given(st.integers(2, 8), st.integers(1, 5), st.integers(2, 8), st.integers(0, 99))
@settings(max_examples=10)
def test_agrees_with_samples(num_tasks, num_layers, num_candidates, seed):
    probs = random_probs(num_layers, num_tasks, num_candidates, seed)
    rng = np.random.default_rng(seed)
    costs, num_samples = rng.random((num_layers, num_candidates)), 4000
    uniform = rng.random((num_samples, num_layers, num_tasks, 1))
    routing = (uniform > probs.cumsum(-1).numpy()[..., :-1]).sum(-1)
    samples = np.zeros(num_samples)
    for layer in range(num_layers):
        so_far = routing[:, : layer + 1]
        together = (so_far[..., None] == so_far[..., None, :]).all(1)
        is_first_of_group = ~np.tril(together, -1).any(-1)
        samples += (is_first_of_group * costs[layer, routing[:, layer]]).sum(-1)
    error = samples.std() / num_samples**0.5
    assert abs(expected_madds(probs, costs).item() - samples.mean()) < 5 * error + 1e-9


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=15)
def test_recursion_is_that_of_the_paper(num_tasks, num_layers, seed):
    probs = random_probs(num_layers, num_tasks, num_tasks, seed)
    costs = torch.rand(num_layers, dtype=torch.float64)
    expected = listed_recursion(probs, costs)
    found = recursive_expected_madds(probs, costs).item()
    assert found == pytest.approx(expected, rel=1e-12)
    exact = expected_madds(probs, costs).item()
    assert found == pytest.approx(exact, rel=1e-12) if num_tasks <= 2 else found >= exact - 1e-12


@BOTH
def test_gradients_are_right_also_at_certain_choices(expectation):
    parameters = torch.randn(4, 4, 4, dtype=torch.float64) * 3
    certain = torch.eye(4, dtype=torch.float64)[torch.randint(4, (4, 4))]

    def cost(parameters):
        probs = parameters.softmax(-1)
        mixed = torch.cat([probs[:2], certain[:1], 0.5 * probs[3:] + 0.5 * certain[3:]])
        return expectation(mixed, [3.0, 1.0, 2.0, 5.0])

    assert torch.autograd.gradcheck(cost, parameters.requires_grad_())


@pytest.mark.parametrize('num_tasks', [2, 5, 16])
def test_certain_routing_costs_what_its_tree_costs(num_tasks):
    routing = torch.randint(2, (6, num_tasks), generator=torch.Generator().manual_seed(1))
    probs = torch.eye(2)[routing].requires_grad_()
    tasks = [f't{t}' for t in range(num_tasks)]
    tree = BranchedArchitecture.from_arch_params(probs, tasks, {'type': 'E'})
    found = expected_madds(probs, [1, 2, 3, 4, 5, 6])
    expected = sum(n * k.num_groups for n, k in enumerate(tree.groupings, start=1))
    assert found.item() == pytest.approx(expected)
    found.backward()
    assert probs.grad.isfinite().all()


@pytest.mark.parametrize('per_candidate', [False, True])
def test_exact_to_nine_digits_at_sixteen_tasks(per_candidate):
    probs = torch.full((18, 16, 16), 1 / 16, dtype=torch.float64)
    costs = torch.ones(18, 16) if per_candidate else torch.ones(18)
    expected = sum(
        Fraction(comb(16, k) * (-1) ** (k + 1), 16 ** ((k - 1) * layer))
        for layer in range(1, 19)
        for k in range(1, 17)
    )
    assert expected_madds(probs, costs).item() == pytest.approx(float(expected), abs=1e-9)


@BOTH
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_type_and_rounding(expectation, dtype):
    probs = random_probs(6, 5, 5)
    expected = expectation(probs, [1.0] * 6).item()
    found = expectation(probs.to(dtype), torch.ones(6))
    assert found.dtype == dtype
    assert found.shape == ()
    assert found.item() == pytest.approx(expected, rel=4 * torch.finfo(dtype).eps)


@BOTH
def test_autocast_and_inference_mode_change_nothing(expectation):
    probs = random_probs(3, 6, 6).float().requires_grad_()
    with torch.inference_mode():
        expected = expectation(probs, [1, 2, 3])
    with torch.autocast('cpu', torch.bfloat16):
        found = expectation(probs, [1, 2, 3])
    found.backward()
    assert found.item() == expected.item()


@BOTH
@pytest.mark.parametrize(
    ('probs', 'madds', 'message'),
    [
        (torch.ones(2, 2), [1, 1], 'expected floating point of shape'),
        (torch.ones(2, 1, 1, dtype=torch.long), [1, 1], 'torch.int64 of shape'),
        (torch.ones(2, 0, 1), [1, 1], 'expected floating point of shape'),
        (torch.ones(2, 1, 1), [1, 1, 1], r'costs have shape \(3,\), expected \(2,\)'),
        (torch.ones(2, 1, 1), [[1, 1], [1, 1]], r'costs have shape \(2, 2\)'),
        (torch.ones(2, 1, 1), [1, -1], 'costs hold negative'),
        (torch.ones(2, 1, 1), [1, float('nan')], 'costs hold'),
        (torch.full((2, 1, 1), torch.nan), [1, 1], 'probabilities hold'),
        (torch.tensor([[[1.5, -0.5], [1, 0]]]), [1], 'probabilities hold negative'),
        (torch.tensor([[[0.5, 0.49], [1, 0]]]), [1], 'sum of 1 by up to 0.01'),
        (torch.zeros(2, 3, 3), [1, 1], 'give the softmax'),
        (torch.full((1, 17, 1), 1.0), [1], '17 tasks, expected at most'),
    ],
)
def test_refuses_what_is_no_distribution(expectation, probs, madds, message):
    with pytest.raises(ValueError, match=message):
        expectation(probs, madds)


@pytest.mark.parametrize(
    ('shape', 'madds', 'message'),
    [
        ((2, 3, 2), [1, 1], 'as many candidates as tasks'),
        ((1, 2, 2), [[1, 1]], 'one cost per layer'),
        ((1, 8, 8), [1], 'at most 7'),
    ],
)
def test_recursion_refuses_what_the_paper_has_not(shape, madds, message):
    with pytest.raises(ValueError, match=message):
        recursive_expected_madds(random_probs(*shape), madds)
