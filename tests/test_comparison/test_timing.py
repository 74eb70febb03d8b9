"""Clocks: turns, warm-up, and what each clock sees."""

import time
from contextlib import contextmanager

import pytest
import torch

from mmbmtas.comparison.timing import Marks, interleave

CPU = torch.device('cpu')


def test_calls_take_turns_and_warm_up_is_not_timed():
    calls = []
    named = {name: lambda name=name: calls.append(name) for name in 'ab'}
    seconds = interleave(named, CPU, warmup=1, repeats=3)
    assert calls == ['a', 'b'] * 4
    assert {name: len(found) for name, found in seconds.items()} == {'a': 3, 'b': 3}


def test_clocks():
    for clock, asleep in (('wall', 0.05), ('cpu', 0.0)):
        calls = {'sleep': lambda: time.sleep(0.05)}
        (found,) = interleave(calls, CPU, 0, 1, clock)['sleep']
        assert found == pytest.approx(asleep, abs=0.03)
    with pytest.raises(ValueError, match='clock cpu says nothing of the time on cuda'):
        interleave({}, torch.device('cuda'), 0, 1, 'cpu')


def test_what_is_done_around_a_call_is_not_timed():
    done = []

    @contextmanager
    def slowly(name):
        time.sleep(0.05)
        yield
        done.append(name)

    (found,) = interleave({'a': lambda: None}, CPU, 0, 1, around=slowly)['a']
    assert found < 0.04
    assert done == ['a']


def test_marks():
    marks = Marks(CPU)
    time.sleep(0.05)
    marks.mark()
    marks.mark()
    first, second = marks.milliseconds()
    assert first >= 50
    assert second < 40
