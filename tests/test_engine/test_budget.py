"""Budgets of paths: how far paths are from them, and the likeliest paths within."""

from itertools import product

import pytest
import torch

from mmbmtas.cost import ModuleCost
from mmbmtas.engine.controllers import Budget, Reward
from mmbmtas.errors import InputError
from mmbmtas.paths import CommonPolicy, FlatPolicy, PathNetworkCost

NODES = ((4, 2, 1), (3, 5, 0), (2, 2, 0))  # spec, section 10
DOMAINS = {'a': ('a',), 'b': ('b',)}
CANDIDATES = [[{'kernel': k} for k in (3, 5, 7)]] * 3


@pytest.fixture(scope='module')
def cost():
    """Multiply-adds and parameters of the nodes; everything else costs 10, and 1 a decoder."""
    return PathNetworkCost(
        ModuleCost(6, 0, 6),
        tuple(tuple(ModuleCost(c, 0, c) for c in layer) for layer in NODES),
        ModuleCost(4, 0, 4),
        {'a': ModuleCost(1, 0, 1), 'b': ModuleCost(1, 0, 1)},
        DOMAINS,
    )


def policy(kind=FlatPolicy, seed=0):
    found = kind(CANDIDATES, [*DOMAINS])
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return found


def all_paths():
    paths = [*product(range(3), repeat=3)]
    return [{'a': a, 'b': b} for a, b in product(paths, paths)]


def log_prob(policy, paths):
    with torch.no_grad():
        return sum(float(policy.log_prob(domain, path)) for domain, path in paths.items())


@pytest.mark.parametrize('target', [16, 20, 24, 28])
@pytest.mark.parametrize('at_most', [False, True])
def test_a_common_budget_is_met_by_the_likeliest_paths(cost, target, at_most):
    budget, learned = Budget(cost, target_union_params=target, at_most=at_most), policy()
    found = budget.likeliest(learned)

    def fits(paths):
        nodes = sum(
            sum(NODES[layer][c] for c in {paths['a'][layer], paths['b'][layer]})
            for layer in range(3)
        )
        ratio = (12 + nodes) / target
        return ratio <= 1 if at_most else 0.95 <= ratio <= 1.05

    within = [log_prob(learned, paths) for paths in all_paths() if fits(paths)]
    assert fits(found)
    assert log_prob(learned, found) == pytest.approx(max(within), abs=1e-5)


@pytest.mark.parametrize('at_most', [False, True])
def test_each_domain_meets_its_own_budget(cost, at_most):
    targets = {'a': 13, 'b': 20}
    learned = policy()
    found = Budget(cost, target_madds=targets, at_most=at_most).likeliest(learned)
    for domain, target in targets.items():
        ratios = {
            path: (11 + sum(NODES[layer][c] for layer, c in enumerate(path))) / target
            for path in product(range(3), repeat=3)
        }
        within = [p for p, r in ratios.items() if (r <= 1 if at_most else 0.95 <= r <= 1.05)]
        best = max(within, key=lambda path: float(learned.log_prob(domain, path)))
        assert found[domain] == best


def test_domains_that_choose_together_stay_together(cost):
    learned = policy(CommonPolicy)
    for budget in (Budget(cost, target_union_params=15), Budget(cost, target_madds=14)):
        found = budget.likeliest(learned)
        assert found['a'] == found['b']
        assert not budget.misses(found)


def test_paths_within_their_budget_are_left_as_they_are(cost):
    learned = policy()
    probable = {d: tuple(row) for d, row in zip(DOMAINS, learned.argmax().T.tolist(), strict=True)}
    assert Budget(cost).likeliest(learned) == probable
    ratio = Budget(cost, target_union_params=20).ratios(probable)['a']
    for share, same in ((0.96, True), (1.04, True), (0.8, False)):
        budget = Budget(cost, target_union_params=20 * ratio / share)
        assert (budget.likeliest(learned) == probable) is same
    limit = Budget(cost, target_union_params=30, at_most=True)
    assert limit.likeliest(learned) == probable  # far below is well


def test_undecided_policies_change_as_little_as_can_be(cost):
    undecided = FlatPolicy(CANDIDATES, [*DOMAINS])  # all are as likely; the first ones are taken
    budget = Budget(cost, target_union_params=17)

    def changes(paths):
        return sum(c != 0 for path in paths.values() for c in path)

    within = [paths for paths in all_paths() if not budget.misses(paths)]
    assert changes(budget.likeliest(undecided)) == min(map(changes, within)) > 0


def test_a_limit_does_not_punish_what_is_below(cost):
    limit = Budget(cost, target_madds={'a': 20, 'b': 12}, at_most=True)
    paths = {'a': (1, 2, 2), 'b': (0, 1, 0)}  # 13 of 20, 22 of 12
    assert limit.ratios(paths) == {'a': 1.0, 'b': pytest.approx(22 / 12)}
    assert Reward()(0.5, limit.ratios(paths)['a']) == 0.5
    one_hot = torch.nn.functional.one_hot(torch.tensor([[1, 0], [2, 1], [2, 0]]), 3).double()
    assert float(limit.distance(one_hot)) == pytest.approx(22 / 12 - 1)
    about = Budget(cost, target_madds={'a': 20, 'b': 12})
    assert float(about.distance(one_hot)) == pytest.approx(22 / 12 - 1 + 1 - 13 / 20)
    assert limit.misses(paths).keys() == {'b'}


def test_a_limit_may_be_above_all_paths_but_not_below(cost):
    assert Budget(cost, target_union_params=1e6, at_most=True)
    for options in ({'target_union_params': 1e6}, {'target_union_params': 3, 'at_most': True}):
        with pytest.raises(InputError, match=r'target_union_params .* is out of reach'):
            Budget(cost, **options)
