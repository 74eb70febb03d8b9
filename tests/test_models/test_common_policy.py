"""One policy for all domains: the same chances, one path, every reward teaches it."""

import torch

from mmbmtas.paths import CommonPolicy, FactoredPolicy
from mmbmtas.registry import MODELS

LAYERS = [
    [{'kernel': 3}, {'kernel': 5}],
    [{'kernel': 3}, {'kernel': 5}, {'zero': True}],
]


def test_it_is_its_own_policy_for_each_domain():
    policy, alone = CommonPolicy(LAYERS, ['a', 'b']), FactoredPolicy(LAYERS, ['all'])
    for own, other in zip(policy.parameters(), alone.parameters(), strict=True):
        with torch.no_grad():
            other.copy_(own.normal_())
    for domain in range(2):
        torch.testing.assert_close(policy.probs()[:, domain], alone.probs()[:, 0])
        assert policy.argmax()[:, domain].tolist() == alone.argmax()[:, 0].tolist()
    torch.testing.assert_close(policy.log_prob('b', (1, 2)), alone.log_prob('all', (1, 2)))


def test_the_rewards_of_all_domains_teach_it():
    policy = CommonPolicy(LAYERS, ['a', 'b'], {'type': 'FlatPolicy'})
    gradients = []
    for domain, path in (('a', (0, 1)), ('b', (1, 2))):
        (gradient,) = torch.autograd.grad(policy.log_prob(domain, path), policy.parameters())
        gradients.append(gradient)
    total = policy.log_prob('a', (0, 1)) + policy.log_prob('b', (1, 2))
    (together,) = torch.autograd.grad(total, policy.parameters())
    torch.testing.assert_close(together, sum(gradients))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_configs_name_it():
    policy = MODELS.build({'type': 'CommonPolicy', 'candidates': LAYERS, 'domains': ['a', 'b']})
    assert policy.probs().shape == (2, 2, 3)
