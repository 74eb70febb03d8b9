"""The arithmetic of the search."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbmtas.engine.runner import Position, SearchPlan


@st.composite
def plans(draw):
    warmup = draw(st.integers(0, 30))
    return SearchPlan(
        weight_iters=warmup + draw(st.integers(0, 60)),
        warmup_iters=warmup,
        weight_batches=draw(st.integers(1, 12)),
        arch_batches=draw(st.integers(1, 12)),
        shared_iters=draw(st.integers(0, warmup)),
    )


def positions(plan):
    return [plan.position(iteration) for iteration in range(plan.max_iters)]


@given(plans())
def test_phases_add_up(plan):
    phases = [position.phase for position in positions(plan)]
    warmup = phases.count('shared') + phases.count('warmup')
    assert (phases.count('shared'), warmup) == (plan.shared_iters, plan.warmup_iters)
    assert phases.count('arch') == plan.arch_iters
    assert warmup + phases.count('weights') == plan.weight_iters
    assert plan.max_iters == len(phases)


@given(plans())
def test_warmup_then_cycles(plan):
    phases = [position.phase for position in positions(plan)]
    cycle = ['arch'] * plan.arch_batches + ['weights'] * plan.weight_batches
    shared = plan.shared_iters
    warmup = ['shared'] * shared + ['warmup'] * (plan.warmup_iters - shared)
    expected = warmup + cycle * len(phases)
    assert phases == expected[: len(phases)]
    assert phases[-1:] != ['arch']


@given(plans())
def test_index_counts_from_where_the_phase_began(plan):
    previous = None
    for position in positions(plan):
        same = previous is not None and previous.phase == position.phase
        assert position.index == (previous.index + 1 if same else 0)
        previous = position


@given(plans())
def test_every_pass_takes_the_batches_of_its_split_in_order(plan):
    seen: dict[str, Position] = {}
    for position in positions(plan):
        split = 'arch' if position.phase == 'arch' else 'weights'
        batches = plan.arch_batches if split == 'arch' else plan.weight_batches
        assert 0 <= position.batch < batches
        before = seen.get(split)
        if before is None:
            assert (position.epoch, position.batch) == (0, 0)
        elif position.batch:
            assert (position.epoch, position.batch) == (before.epoch, before.batch + 1)
        else:
            assert position.epoch == before.epoch + 1
        if (
            position.index == 0 and position.phase != 'warmup'
        ):  # which goes on after the shared start
            assert position.batch == 0
        seen[split] = position


@given(plans())
def test_progress(plan):
    shares = [plan.progress(iteration) for iteration in range(plan.max_iters)]
    assert shares == sorted(shares)
    assert all(share == 0 for share in shares[: plan.warmup_iters + 1])
    steps = plan.max_iters - plan.warmup_iters
    if steps > 1:
        assert shares[-1] == 1
        assert shares[plan.warmup_iters :] == pytest.approx([i / (steps - 1) for i in range(steps)])


def test_pascal_context():
    """40,000 iterations of the weights are about 50,000 with the architecture's."""
    plan = SearchPlan(40_000, 2000, weight_batches=3998 // 16, arch_batches=1000 // 16)
    assert plan.max_iters == pytest.approx(50_000, rel=0.02)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((10, 11, 2, 2), 'warmup_iters 11: expected 0 to weight_iters 10'),
        ((10, 0.5, 2, 2), r'warmup_iters 0\.5: expected a whole'),
        ((10, -1, 2, 2), 'warmup_iters -1'),
        ((10, 5, 2, 2, 6), 'shared_iters 6: expected 0 to warmup_iters 5'),
        ((10, 1, 0, 2), '0 weight and 2 architecture batches'),
        ((10, 1, 2, 0), '2 weight and 0 architecture batches'),
    ],
)
def test_impossible_plans(arguments, message):
    with pytest.raises(ValueError, match=message):
        SearchPlan(*arguments)


@pytest.mark.parametrize(
    ('warmup', 'fraction', 'iters'),
    [(500, 0.4, 200), (100, 0.29, 29), (10, 0.99, 9), (1, 0.9, 0), (0, 0, 0), (7, 0, 0)],
)
def test_a_share_of_the_warm_up_is_shared(warmup, fraction, iters):
    plan = SearchPlan(warmup + 1, warmup, 2, 2)
    assert plan.with_shared_start(fraction).shared_iters == iters


@pytest.mark.parametrize(
    ('warmup', 'fraction', 'message'),
    [
        (0, 0.5, r'shared_fraction 0\.5 of no warm-up'),
        (5, 1.0, r'shared_fraction 1\.0: expected a number from 0 to below 1'),
    ],
)
def test_impossible_shares(warmup, fraction, message):
    with pytest.raises(ValueError, match=message):
        SearchPlan(10, warmup, 2, 2).with_shared_start(fraction)
