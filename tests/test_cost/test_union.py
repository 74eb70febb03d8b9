import time
from itertools import product
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbmtas.cost import PathCosts, expected_madds, expected_sum, expected_union, path_costs
from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture

# Spec, section 10.
COSTS = torch.tensor([[4, 2, 1], [3, 5, 0], [2, 2, 0]], dtype=torch.float64)
PATHS = [[0, 1, 2], [0, 1, 0], [1, 1, 0]]


def uniform(num_domains):
    return torch.full((3, num_domains, 3), 1 / 3, dtype=torch.float64)


def test_costs_of_the_specification():
    costs = path_costs(PATHS, COSTS)
    assert costs == PathCosts(per_domain=(9, 11, 9), sum=29, union=13, prefix=20)
    assert path_costs(torch.tensor(PATHS), COSTS.tolist()) == costs


@pytest.mark.parametrize(
    ('num_domains', 'total', 'union', 'prefix'),
    [(3, 19, 13.3703703704, 15.9236396891), (10, 63.3333333333, 18.6705109316, 34.8048792591)],
)
def test_expectations_of_the_specification(num_domains, total, union, prefix):
    probs = uniform(num_domains)
    assert float(expected_sum(probs, COSTS)) == pytest.approx(total, abs=1e-9)
    assert float(expected_union(probs, COSTS)) == pytest.approx(union, abs=1e-9)
    assert float(expected_madds(probs, COSTS)) == pytest.approx(prefix, abs=1e-9)


def sets_of_nodes(routing, costs):
    """Count by the words of the specification: sets of nodes, sets of beginnings."""
    nodes = {(layer, c) for path in routing for layer, c in enumerate(path)}
    beginnings = {tuple(path[: layer + 1]) for path in routing for layer in range(len(path))}
    return (
        sum(float(costs[layer, c]) for layer, c in nodes),
        sum(float(costs[len(start) - 1, start[-1]]) for start in beginnings),
    )


@st.composite
def distributions(draw):
    sizes = st.integers(1, 3)
    num_layers, num_domains, num_candidates = draw(sizes), draw(sizes), draw(sizes)
    number = st.floats(0, 1, width=32)
    rows = st.lists(number, min_size=num_candidates, max_size=num_candidates)
    weights = [[draw(rows) for _ in range(num_domains)] for _ in range(num_layers)]
    weights = torch.tensor(weights, dtype=torch.float64)
    weights[..., 0] += weights.sum(dim=-1) < 0.1
    costs = torch.tensor([draw(rows) for _ in range(num_layers)], dtype=torch.float64)
    return weights / weights.sum(dim=-1, keepdim=True), costs * 10


@settings(max_examples=25, deadline=None)
@given(distributions())
def test_expectations_agree_with_enumeration(distribution):
    probs, costs = distribution
    num_layers, num_domains, num_candidates = probs.shape
    table = probs.tolist()
    paths = [*product(range(num_candidates), repeat=num_layers)]
    chances = [
        [prod(table[la][d][c] for la, c in enumerate(path)) for path in paths]
        for d in range(num_domains)
    ]
    expected_total = expected_of_union = 0.0
    alone = [sum(float(costs[la, c]) for la, c in enumerate(path)) for path in paths]
    for chosen in product(range(len(paths)), repeat=num_domains):
        chance = prod(chances[d][index] for d, index in enumerate(chosen))
        if chance:
            nodes = {(la, c) for index in chosen for la, c in enumerate(paths[index])}
            expected_of_union += chance * sum(float(costs[node]) for node in nodes)
            expected_total += chance * sum(alone[index] for index in chosen)
    assert float(expected_sum(probs, costs)) == pytest.approx(expected_total, abs=1e-12)
    assert float(expected_union(probs, costs)) == pytest.approx(expected_of_union, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_costs_of_any_paths_agree_with_sets_of_nodes(data):
    num_layers, num_domains = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    path = st.lists(st.integers(0, 2), min_size=num_layers, max_size=num_layers)
    routing = [data.draw(path) for _ in range(num_domains)]
    costs = torch.arange(1.0, 3 * num_layers + 1, dtype=torch.float64).view(num_layers, 3)
    found = path_costs(routing, costs)
    assert (found.union, found.prefix) == sets_of_nodes(routing, costs)
    assert found.sum == sum(found.per_domain)
    assert max(found.per_domain) <= found.union <= found.prefix <= found.sum
    names = [f'd{d}' for d in range(num_domains)]
    tree = BranchedArchitecture.from_routing(
        names, {'type': 'E'}, dict(zip(names, routing, strict=True))
    )
    same = torch.ones(num_layers, 1).expand(-1, 3)
    groups = sum(grouping.num_groups for grouping in tree.groupings)
    assert path_costs(routing, same).prefix == groups


def test_certain_choices_cost_what_their_paths_do():
    one_hot = torch.nn.functional.one_hot(torch.tensor(PATHS).T, 3).double()
    assert float(expected_union(one_hot, COSTS)) == 13
    assert float(expected_sum(one_hot, COSTS)) == 29


@pytest.mark.parametrize('expectation', [expected_sum, expected_union])
def test_gradients(expectation):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 3, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: expectation(x.softmax(-1), COSTS), logits)
    # Where all is decided the product over domains holds zeros.
    certain = torch.eye(3, dtype=torch.float64)[None, :2].repeat(3, 1, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(expectation(certain, COSTS), certain)
    assert gradient.isfinite().all()


def test_float32_is_summed_in_float64():
    probs = uniform(3).float()
    assert expected_union(probs, COSTS).dtype == torch.float64
    assert expected_sum(probs, COSTS).dtype == torch.float64


def test_ten_domains_of_a_large_space_take_no_time():
    probs = torch.randn(20, 10, 37, dtype=torch.float64).softmax(-1).requires_grad_()
    costs = torch.rand(20, 37)
    expected_union(probs, costs).backward()
    start = time.perf_counter()
    expected_union(probs, costs).backward()
    assert time.perf_counter() - start < 0.05


@pytest.mark.parametrize(
    ('probs', 'costs', 'message'),
    [
        (torch.full((2, 2, 2), 0.5), COSTS, r'costs have shape \(3, 3\), expected \(2, 2\)'),
        (torch.full((3, 2, 3), 0.5), COSTS, 'differ from a sum of 1'),
        (torch.full((3, 2), 0.5), COSTS, 'probabilities are'),
        (uniform(2), -COSTS, 'costs hold negative'),
        (uniform(2), COSTS / 0, 'not finite'),
        (uniform(2), COSTS[:, 0], r'costs have shape \(3,\)'),
    ],
)
def test_refuses_what_is_no_distribution(probs, costs, message):
    for expectation in (expected_sum, expected_union):
        with pytest.raises(InputError, match=message):
            expectation(probs, costs)


@pytest.mark.parametrize(
    ('routing', 'costs', 'message'),
    [
        ([[0, 1, 3]], COSTS, 'candidate 3 of a path: expected 0 to 2'),
        ([[0, -1, 0]], COSTS, 'candidate -1 of a path'),
        ([[0, 1]], COSTS, r'costs have shape \(3, 3\), expected \(2, candidates\)'),
        ([0, 1, 2], COSTS, 'expected whole numbers of shape'),
        ([[0.0, 1.0, 2.0]], COSTS, 'expected whole numbers of shape'),
        ([], COSTS, 'expected whole numbers of shape'),
        (PATHS, -COSTS, 'negative'),
    ],
)
def test_refuses_what_are_no_paths(routing, costs, message):
    with pytest.raises(InputError, match=message):
        path_costs(routing, costs)
