from itertools import product

import pytest
import torch

from mmbmtas.errors import InputError
from mmbmtas.paths import FactoredPolicy, FlatPolicy

ZERO = {'zero': True}
BLOCKS = [
    {'kernel': kernel, 'expansion': expansion, 'squeeze': squeeze}
    for kernel, expansion, squeeze in product((3, 5, 7), range(1, 7), (False, True))
]
FULL = [*BLOCKS, ZERO]
SMALL = [{'kernel': 3}, {'kernel': 5}, ZERO]
BOTH = pytest.mark.parametrize('kind', [FlatPolicy, FactoredPolicy])
# Spec, section 10.
LOGITS = {
    'zero': [0.2, 0.0],
    'kernel': [0.1, 0.0, -0.1],
    'expansion': [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
    'squeeze': [0.0, 0.3],
}


def factored(candidates=(FULL,), domains=('a',)):
    policy = FactoredPolicy(candidates, domains).double()
    with torch.no_grad():
        for key, values in LOGITS.items():
            policy.logits[key][:] = torch.tensor(values, dtype=torch.float64)
    return policy


def randomised(policy, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return policy


def test_factored_probabilities_of_the_specification():
    policy = factored()
    probs = policy.probs()
    assert probs.shape == (1, 1, 37)
    assert float(probs.sum()) == pytest.approx(1, abs=1e-12)
    chosen = FULL.index({'kernel': 5, 'expansion': 4, 'squeeze': True})
    assert float(probs[0, 0, chosen]) == pytest.approx(0.0181200711, abs=1e-10)
    assert float(probs[0, 0, FULL.index(ZERO)]) == pytest.approx(0.4501660027, abs=1e-10)
    assert float(policy.log_prob('a', [chosen])) == pytest.approx(-4.0107350548, abs=1e-10)


def test_zero_takes_no_other_decision():
    policy = factored()
    policy.log_prob('a', [FULL.index(ZERO)]).backward()
    gradients = {key: logits.grad for key, logits in policy.logits.items()}
    assert gradients['zero'].abs().min() > 0.1
    for key in ('kernel', 'expansion', 'squeeze'):
        assert not gradients[key].any()


@BOTH
def test_begins_uniform_in_each_decision(kind):
    probs = kind([FULL, BLOCKS], ['a', 'b']).probs()
    torch.testing.assert_close(probs.sum(-1), torch.ones(2, 2))
    assert not probs[1, :, 36].any()  # the padding of the layer without zero
    torch.testing.assert_close(probs[1, :, :36], torch.full((2, 36), 1 / 36))
    if kind is FlatPolicy:
        torch.testing.assert_close(probs[0], torch.full((2, 37), 1 / 37))
    else:
        torch.testing.assert_close(probs[0, :, 36], torch.full((2,), 0.5))
        torch.testing.assert_close(probs[0, :, :36], torch.full((2, 36), 1 / 72))


@BOTH
def test_log_prob_of_a_path_is_the_sum_over_layers(kind):
    policy = randomised(kind([FULL, BLOCKS, SMALL], ['a', 'b']))
    probs = policy.probs()
    expected = probs[0, 1, 36].log() + probs[1, 1, 7].log() + probs[2, 1, 1].log()
    torch.testing.assert_close(policy.log_prob('b', (36, 7, 1)), expected)


@BOTH
def test_gradients_agree_with_finite_differences_and_pass_by_what_is_not_there(kind):
    policy = randomised(kind([SMALL, SMALL[:2], [ZERO]], ['a', 'b'])).double()
    policy.log_prob('a', (1, 0, 0)).backward()
    for parameter in policy.parameters():
        assert parameter.grad.isfinite().all()
        for position in torch.cartesian_prod(*map(torch.arange, parameter.shape)).tolist():
            values = []
            for step in (1e-6, -2e-6):
                with torch.no_grad():
                    parameter[tuple(position)] += step
                    values.append(float(policy.log_prob('a', (1, 0, 0))))
            with torch.no_grad():
                parameter[tuple(position)] += 1e-6
            slope = (values[0] - values[1]) / 2e-6
            assert float(parameter.grad[tuple(position)]) == pytest.approx(slope, abs=1e-7)


@BOTH
def test_samples_come_as_often_as_the_probabilities_say(kind):
    policy = randomised(kind([FULL, SMALL, SMALL[:2]], ['a', 'b']))
    generator = torch.Generator().manual_seed(0)
    number = 1000
    for index, domain in enumerate('ab'):
        paths = torch.tensor([policy.sample(domain, generator) for _ in range(number)])
        for layer, probs in enumerate(policy.probs()[:, index].detach()):
            found = torch.bincount(paths[:, layer], minlength=37) / number
            error = (probs * (1 - probs) / number).sqrt()
            assert ((found - probs).abs() <= 4 * error + 1e-9).all()


@BOTH
def test_a_generator_decides_the_sample(kind):
    policy = kind([FULL] * 8, ['a', 'b'])
    seeds = [torch.Generator().manual_seed(seed) for seed in (3, 3, 4)]
    first, again, other = (policy.sample('a', generator) for generator in seeds)
    assert first == again != other
    state = torch.get_rng_state()
    policy.sample('a', torch.Generator())
    assert torch.equal(state, torch.get_rng_state())


def test_flat_argmax_is_the_most_probable_candidate():
    policy = randomised(FlatPolicy([FULL, BLOCKS], ['a', 'b']))
    assert torch.equal(policy.argmax(), policy.probs().argmax(-1))
    assert policy.argmax().dtype == torch.long


def test_factored_argmax_decides_one_by_one():
    policy = factored([FULL, BLOCKS], ['a'])
    best = {'kernel': 3, 'expansion': 6, 'squeeze': True}
    # Zero is the most probable candidate, but that the layer is there is the likelier decision.
    assert int(policy.probs()[0, 0].argmax()) == 36
    assert policy.argmax().tolist() == [[BLOCKS.index(best)], [BLOCKS.index(best)]]
    with torch.no_grad():
        policy.logits['zero'][0, 0, 1] = 0.3
    assert policy.argmax().tolist() == [[36], [BLOCKS.index(best)]]


def test_scores_are_ratios_to_what_is_taken_in_the_end():
    policy = randomised(FactoredPolicy([FULL, BLOCKS, SMALL], ['a', 'b']))
    scores = policy.scores()
    best = policy.argmax()[..., None]
    assert scores.gather(2, best).tolist() == [[[0.0]] * 2] * 3
    others = scores.scatter(2, best, -torch.inf)
    assert (others.amax(dim=-1) < 0).all()
    log_probs = policy.log_probs()
    blocks = slice(0, 36)  # all of them take all decisions, so ratios are those of probabilities
    ratios = log_probs[1, :, blocks] - log_probs[1].gather(1, best[1])
    torch.testing.assert_close(scores[1, :, blocks], ratios)
    flat = randomised(FlatPolicy([FULL, BLOCKS], ['a']))
    ratios = flat.log_probs() - flat.log_probs().amax(-1, keepdim=True)
    torch.testing.assert_close(flat.scores(), ratios)


@BOTH
def test_argmax_takes_the_first_on_a_tie(kind):
    assert kind([SMALL, SMALL[:2]], ['a', 'b']).argmax().tolist() == [[0, 0], [0, 0]]


def test_decisions_are_those_of_the_candidates():
    other = [{'width': w, 'kind': k} for w in (1, 2) for k in ('plain', 'wide')]
    policy = randomised(FactoredPolicy([other, SMALL, [{}]], ['a']))
    assert {*policy.logits} == {'zero', 'width', 'kind', 'kernel'}
    torch.testing.assert_close(policy.probs().sum(-1), torch.ones(3, 1))
    assert policy.probs()[2, 0].tolist() == pytest.approx([1, 0, 0, 0])


@BOTH
def test_parameters_alone_are_in_the_state(kind):
    policy = kind([FULL, SMALL], ['a', 'b'])
    assert {*policy.state_dict()} == {name for name, _ in policy.named_parameters()}
    assert all(not parameter.any() for parameter in policy.parameters())


@pytest.mark.parametrize(
    ('candidates', 'domains', 'message'),
    [
        ([], ['a'], 'candidates'),
        ([[]], ['a'], 'candidates'),
        ([SMALL], [], 'domains'),
        ([SMALL], ['a', 'a'], 'domains'),
    ],
)
@BOTH
def test_refuses_what_is_no_space(kind, candidates, domains, message):
    with pytest.raises(InputError, match=f'{message} .*: expected one or more'):
        kind(candidates, domains)


@pytest.mark.parametrize('layer', [BLOCKS[:-1], [{'kernel': 3}, {'expansion': 2}]])
def test_factored_refuses_candidates_that_are_not_all_combinations(layer):
    with pytest.raises(InputError, match=r'layer 1: .* all combinations .*FlatPolicy'):
        FactoredPolicy([SMALL, [*layer, ZERO]], ['a'])
    assert FlatPolicy([SMALL, [*layer, ZERO]], ['a']).probs().isfinite().all()


@BOTH
def test_refuses_another_domain(kind):
    with pytest.raises(InputError, match=r"no domain 'c' among \['a', 'b'\]"):
        kind([SMALL], ['a', 'b']).sample('c')
