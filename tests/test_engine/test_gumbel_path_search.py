"""The search of paths by gradients: what it draws, what learns, that it finds the better path."""

import pytest
import torch
from torch import nn

from mmbmtas.encoders.candidates import SeparateChoices
from mmbmtas.engine.runner import GumbelPathSearchLoop
from mmbmtas.errors import InputError
from mmbmtas.models.backbones.routing import build_routing
from mmbmtas.paths.supernet import _run_layer


@pytest.fixture
def run(path_runner, tmp_path):
    """Build the runner of a small search by gradients."""

    def build(**loop):
        return path_runner(tmp_path, [], {'type': 'GumbelPathSearchLoop', **loop})

    return build


def test_a_mixture_is_the_weighted_sum():
    torch.manual_seed(0)
    convs = [nn.Conv2d(4, 4, 1) for _ in range(3)]
    choices = SeparateChoices([{'kernel': k} for k in (1, 3, 5)] + [{'zero': True}], convs)
    x = torch.randn(2, 4, 5, 5)
    weights = torch.tensor([0.2, 0.5, 0.3], requires_grad=True)
    found = _run_layer(choices, x, {0: weights[0], 2: weights[1], 3: weights[2]}, 0.0)
    expected = 0.2 * convs[0](x) + 0.5 * convs[2](x) + 0.3 * x
    torch.testing.assert_close(found, expected)
    (grad,) = torch.autograd.grad(found.sum(), weights)
    torch.testing.assert_close(grad[1], convs[2](x).sum())


def test_a_search(run):
    runner = run(target_madds=800_000, weight_iters=4)
    loop = runner.train_loop
    assert isinstance(loop, GumbelPathSearchLoop)
    policy = loop.model.policy
    before = [p.detach().clone() for p in policy.parameters()]
    weights = [p.detach().clone() for p in loop.model.backbone.stem.parameters()]
    runner.train()
    assert any(not torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))
    stem = loop.model.backbone.stem.parameters()
    assert all(not torch.equal(a, b) for a, b in zip(weights, stem, strict=True))
    assert all(p.isfinite().all() for p in policy.parameters())


def test_what_is_drawn_and_how_hot(run):
    loop = run(weight_iters=8).train_loop
    for scheme, expected in ((None, 2), ('HardRouting', 1), ('SoftRouting', 8)):
        if scheme is not None:
            loop.routing = build_routing({'type': scheme}, 8)
        for path in loop.relaxed_paths().values():
            assert [len(mixture) for mixture in path] == [expected] * 5
            for mixture in path:
                assert sum(mixture.values()).item() == pytest.approx(1)
    found = []
    for iteration in range(8):
        loop._iter = iteration
        found.append(loop.temperature)
    assert found[:3] == [5, 5, 5]  # two of them warm-up
    assert found[-1] == pytest.approx(0.1)
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize('tau', [5, (5, 0)])
def test_temperatures_that_mean_nothing(run, tau):
    with pytest.raises(InputError, match=r'train_cfg\.tau'):
        run(tau=tau).train()
