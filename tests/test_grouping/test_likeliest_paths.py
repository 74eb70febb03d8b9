"""The likeliest paths within a budget, beside an enumeration of all paths."""

from itertools import product

import numpy as np
import pytest

from mmbmtas.errors import InputError
from mmbmtas.grouping import likeliest_paths


def union(paths, costs):
    return sum(costs[layer][[*set(row)]].sum() for layer, row in enumerate(paths))


def score(paths, scores):
    return sum(scores[layer, d, c] for layer, row in enumerate(paths) for d, c in enumerate(row))


def everything(scores):
    """All paths of all domains, ``(L, D)`` each."""
    layers, domains, candidates = scores.shape
    rows = [*product(range(candidates), repeat=domains)]
    return product(rows, repeat=layers)


@pytest.mark.parametrize('shape', [(1, 3, 3), (2, 2, 3), (3, 2, 3), (2, 3, 2), (3, 1, 3)])
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_is_the_best_of_all(shape, seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=shape)
    costs = rng.integers(0, 9, (shape[0], shape[2])).astype(float)
    known = [(union(paths, costs), score(paths, scores)) for paths in everything(scores)]
    for target in rng.uniform(0, max(cost for cost, _ in known), 6):
        least, most = 0.9 * target, 1.1 * target
        within = [value for cost, value in known if least <= cost <= most]
        found = likeliest_paths(scores, costs, least, most)
        if within:
            assert least <= union(found, costs) <= most
            assert score(found, scores) == pytest.approx(max(within), abs=1e-9)
        else:  # the nearest, and the likeliest of those
            off = [max(least - cost, cost - most) for cost, _ in known]
            assert max(least - union(found, costs), union(found, costs) - most) == pytest.approx(
                min(off), abs=1e-9
            )
            near = [v for o, (_, v) in zip(off, known, strict=True) if o <= min(off) + 1e-9]
            assert score(found, scores) == pytest.approx(max(near), abs=1e-9)


def test_takes_the_best_where_all_cost_is_allowed():
    scores = np.random.default_rng(0).normal(size=(4, 3, 5))
    found = likeliest_paths(scores, np.ones((4, 5)), 0, np.inf)
    assert (found == scores.argmax(axis=2)).all()


def test_candidates_that_a_layer_lacks_are_not_taken():
    scores = np.array([[[0.0, -np.inf], [0.0, -np.inf]], [[0.0, -1.0], [0.0, -1.0]]])
    found = likeliest_paths(scores, [[5.0, 0.0], [5.0, 1.0]], 0, 6)
    assert found.tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize('share', [0.3, 0.6, 1.2])
def test_large_spaces_meet_their_budgets_at_little_loss(share):
    """Ten domains, 20 layers of 37 candidates; a Lagrangian bounds what can be reached."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20, 10, 37))
    scores -= scores.max(axis=2, keepdims=True)
    costs = rng.integers(100, 13_000, (20, 37)).astype(float)
    target = share * union(scores.argmax(axis=2), costs)
    found = likeliest_paths(scores, costs, 0.95 * target, 1.05 * target)
    assert 0.95 * target <= union(found, costs) <= 1.05 * target
    assert score(found, scores) < 0
    if share > 1:  # more than needed: fewer than a fifth of the choices change
        assert (found != scores.argmax(axis=2)).mean() < 0.2
    else:  # better than one common path at such a cost, and than chance
        common = scores.sum(axis=1).max(axis=1).sum()
        assert score(found, scores) > common


@pytest.mark.parametrize(
    ('scores', 'costs', 'message'),
    [
        (np.zeros((2, 3)), np.zeros((2, 3)), r'scores of shape \(2, 3\)'),
        (np.zeros((2, 3, 4)), np.zeros((2, 3)), r'costs of shape \(2, 3\): expected \(layers'),
        (np.full((1, 1, 2), -np.inf), np.ones((1, 2)), 'in each layer one above minus infinity'),
        (np.full((1, 1, 2), np.nan), np.ones((1, 2)), 'scores: expected numbers'),
        (np.zeros((1, 1, 2)), [[1.0, -1.0]], 'costs: expected finite numbers'),
        (np.zeros((1, 1, 2)), [[1.0, np.inf]], 'costs: expected finite numbers'),
    ],
)
def test_refuses_what_means_nothing(scores, costs, message):
    with pytest.raises(InputError, match=message):
        likeliest_paths(scores, costs, 0, 1)
