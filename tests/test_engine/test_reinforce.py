from itertools import product

import pytest
import torch

from mmbmtas.engine.controllers import Baseline, Reward, Schedule, policy_loss
from mmbmtas.errors import InputError
from mmbmtas.paths import FlatPolicy

# Spec, section 10: two layers, of two and of three candidates.
LAYERS = [[{'c': 0}, {'c': 1}], [{'c': 0}, {'c': 1}, {'c': 2}]]
REWARDS = [[0.50, 0.62, 0.40], [0.55, 0.70, 0.20]]
GRADIENT = [[-0.00843865, 0.00843865, 0], [-0.01593538, 0.04550327, -0.02956789]]
MEAN = 0.5669477062
PATHS = [*product(range(2), range(3))]


def policy():
    found = FlatPolicy(LAYERS, ['a']).double()
    with torch.no_grad():
        found.logits[0, 0, :2] = torch.tensor([0.3, -0.2], dtype=torch.float64)
        found.logits[1, 0] = torch.tensor([0.0, 0.5, -1.0], dtype=torch.float64)
    return found


def gradient_of(path, baseline):
    """Gradient of (R - b) log p, (2, 3), and the probability of the path."""
    found = policy()
    log_prob = found.log_prob('a', path)
    reward = REWARDS[path[0]][path[1]]
    policy_loss(log_prob[None], [reward - baseline]).backward()
    return -found.logits.grad[:, 0], float(log_prob.detach().exp())


def moments(baseline):
    """Mean and total variance of the estimator over all samples."""
    gradients, chances = zip(*(gradient_of(path, baseline) for path in PATHS), strict=True)
    weights = torch.tensor(chances, dtype=torch.float64)[:, None, None]
    stacked = torch.stack(gradients)
    mean = (weights * stacked).sum(0)
    return mean, float((weights * (stacked - mean) ** 2).sum())


@pytest.mark.parametrize(
    ('baseline', 'variance'), [(0.0, 0.3223531919), (0.5, 0.0184878989), (MEAN, 0.0175235666)]
)
def test_the_mean_over_samples_is_the_gradient_whatever_the_baseline(baseline, variance):
    mean, found = moments(baseline)
    assert mean.tolist() == [pytest.approx(row, abs=1e-8) for row in GRADIENT]
    assert found == pytest.approx(variance, abs=1e-9)


def test_the_gradient_is_that_of_the_expected_reward():
    found = policy()
    probs = found.probs()[:, 0]
    rewards = torch.tensor(REWARDS, dtype=torch.float64)
    expected = (probs[0, :2, None] * probs[1] * rewards).sum()
    assert float(expected) == pytest.approx(MEAN, abs=1e-9)
    expected.backward()
    assert found.logits.grad[:, 0].tolist() == [pytest.approx(row, abs=1e-8) for row in GRADIENT]


def test_one_sample_of_the_specification():
    assert float(policy().log_prob('a', (1, 1))) == pytest.approx(-1.5782075895, abs=1e-9)
    gradient, _ = gradient_of((1, 1), 0.5)
    assert gradient.tolist() == [
        pytest.approx([-0.12449187, 0.12449187, 0], abs=1e-8),
        pytest.approx([-0.06629979, 0.09069012, -0.02439033], abs=1e-8),
    ]


def test_baseline_of_the_specification():
    baseline = Baseline()
    found = [baseline.update(reward) for reward in (0.5, 0.7, 0.6, 0.6)]
    assert found == pytest.approx([0.5, 0.6025641026, 0.6016652060, 0.6012163483], abs=1e-9)


def test_a_baseline_can_go_on():
    whole = Baseline()
    rewards = [0.1 * i for i in range(20)]
    averages = [whole.update(reward) for reward in rewards]
    half = Baseline()
    for reward in rewards[:10]:
        half.update(reward)
    rest = Baseline(half.total, half.weight)
    assert [rest.update(reward) for reward in rewards[10:]] == averages[10:]


@pytest.mark.parametrize(
    ('kind', 'expected'),
    [
        ('abs', [0.65, 0.7, 0.675, 0.6]),
        ('mnas', [0.7502414238, 0.7, 0.6845529380, 0.6531230941]),
        ('mnas_hard', [0.7, 0.7, 0.6845529380, 0.6531230941]),
    ],
)
def test_rewards_of_the_specification(kind, expected):
    reward = Reward(kind, beta=-0.1)
    found = [reward(0.7, cost / 80) for cost in (40, 80, 100, 160)]
    assert found == pytest.approx(expected, abs=1e-9)
    assert reward(0.7, None) == 0.7


def test_schedules_of_the_specification():
    schedule = Schedule(iters=1000, warmup_share=0.25)
    averaging = [schedule.averaging(t) for t in (0, 100, 125, 249, 250)]
    assert averaging == pytest.approx([1, 0.6, 0.5, 0.004, 0], abs=1e-12)
    rates = [3e-4 * schedule.rate(t) for t in (249, 250, 500, 625, 999)]
    expected = [0, 3e-4, 6.463304e-4, 9.486833e-4, 2.990804e-3]
    assert rates == pytest.approx(expected, rel=1e-6)


def test_a_search_without_warm_up():
    schedule = Schedule(iters=10, warmup_share=0)
    assert schedule.averaging(0) == 0
    assert schedule.rate(0) == 1
    assert schedule.rate(10) == pytest.approx(10)


def test_finds_nearly_the_best_of_additive_rewards_under_noise():
    """Six layers of five candidates, 4,000 steps, in 20 of 20 seeds; a domain stands for a seed."""
    seeds, steps = 20, 4000
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(6, seeds, 5, generator=generator, dtype=torch.float64)
    found = FlatPolicy([[{'c': c} for c in range(5)]] * 6, [f's{seed}' for seed in range(seeds)])
    found = found.double()
    optimizer = torch.optim.Adam(found.parameters(), lr=3e-2, betas=(0.0, 0.999))
    baselines, schedule = [Baseline() for _ in range(seeds)], Schedule(steps, 0)
    noise = 0.05 * torch.randn(steps, seeds, generator=generator, dtype=torch.float64)
    for step in range(steps):
        log_probs = found.log_probs()
        flat = log_probs.detach().exp().view(-1, 5)
        paths = flat.multinomial(1, generator=generator).view(6, seeds, 1)
        rewards = (values.gather(2, paths).sum(dim=(0, 2)) + noise[step]).tolist()
        advantages = [r - b.update(r) for r, b in zip(rewards, baselines, strict=True)]
        optimizer.param_groups[0]['lr'] = 3e-2 * schedule.rate(step)
        optimizer.zero_grad()
        policy_loss(log_probs.gather(2, paths).sum(dim=(0, 2)), advantages).backward()
        optimizer.step()
    reached = values.gather(2, found.argmax()[..., None]).sum(dim=(0, 2))
    shares = reached / values.amax(dim=2).sum(dim=0)
    assert float(shares.min()) >= 0.99


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: Reward('best'), "train_cfg.reward 'best': expected one of"),
        (lambda: Reward('abs', 0.1), r'train_cfg.beta 0\.1: expected a number below 0'),
        (lambda: Reward('abs', float('nan')), 'train_cfg.beta nan'),
        (lambda: Schedule(0), 'train_cfg.weight_iters 0'),
        (lambda: Schedule(2.5), r'train_cfg.weight_iters 2\.5'),
        (lambda: Schedule(10, 1.0), r'train_cfg.warmup_share 1\.0: .* less than 1'),
        (lambda: Schedule(10, -0.1), 'train_cfg.warmup_share'),
    ],
)
def test_refuses_settings_that_mean_nothing(make, message):
    with pytest.raises(InputError, match=message):
        make()
