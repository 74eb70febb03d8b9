"""Clocks: turns, warm-up, and what each clock sees."""

import time
from contextlib import contextmanager

import pytest
import torch

from mmbmtas.cost import timing
from mmbmtas.cost.timing import Marks, interleave

CPU = torch.device('cpu')


@pytest.fixture
def now(monkeypatch):
    """The time of a clock that only the test moves, in a list."""
    now = [0.0]
    monkeypatch.setitem(timing.CLOCKS, 'wall', lambda: now[0])
    return now


def test_calls_take_turns_and_warm_up_is_not_timed():
    calls = []
    named = {name: lambda name=name: calls.append(name) for name in 'ab'}
    seconds = interleave(named, CPU, warmup=1, repeats=3)
    assert calls == ['a', 'b'] * 4
    assert {name: len(found) for name, found in seconds.items()} == {'a': 3, 'b': 3}


def test_clocks():
    calls = {'sleep': lambda: time.sleep(0.05)}
    assert interleave(calls, CPU, 0, 1, 'wall')['sleep'][0] >= 0.05
    assert interleave(calls, CPU, 0, 1, 'cpu')['sleep'][0] < 0.03
    with pytest.raises(ValueError, match='clock cpu cannot measure the time on cuda'):
        interleave({}, torch.device('cuda'), 0, 1, 'cpu')


def test_what_is_done_around_a_call_is_not_timed(now):
    done = []

    def work():
        now[0] += 2

    @contextmanager
    def slowly(name):
        now[0] += 100
        yield
        now[0] += 100
        done.append(name)

    assert interleave({'a': work}, CPU, 1, 2, around=slowly) == {'a': [2, 2]}
    assert done == ['a'] * 3


def test_marks(now):
    marks = Marks(CPU)
    for seconds in (0.5, 0, 2):
        now[0] += seconds
        marks.mark()
    assert marks.milliseconds() == [500, 0, 2000]
