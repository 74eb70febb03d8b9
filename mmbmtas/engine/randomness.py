"""Random numbers that follow from the seed and a place in the training, not from what came before.

mmengine seeds a run once. What is drawn then depends on all that was drawn earlier, and in a
loader's workers on how many there are, so that no checkpoint could bring it back. Here each
iteration and each sample has a seed of its own (our choice): a resumed run draws what the
uninterrupted one would have, and the number of workers does not matter.
"""

import enum
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class Stream(enum.IntEnum):
    """The purposes of random numbers; streams are independent of one another."""

    ITERATION = 0
    SAMPLES = 1
    ARCH_SAMPLES = 2
    LABELS = 3
    PATHS = 4


def seed_all(seed: int, stream: Stream, *place: int) -> None:
    """Seed Python's, numpy's and torch's global generators, torch's on all devices.

    Args:
        seed: The run's.
        stream: What is drawn.
        place: Numbers of 0 or more that say where in the training, always as many in a stream.
    """
    torch.manual_seed(seed_cpu(seed, stream, *place))


def seed_cpu(seed: int, stream: Stream, *place: int) -> int:
    """Seed the generators of :func:`seed_all`, but for devices; return what torch was seeded by."""
    words = np.random.SeedSequence((seed, stream, *place)).generate_state(3)
    for_python, for_numpy, for_torch = words.tolist()
    random.seed(for_python)
    np.random.seed(for_numpy)
    torch.default_generator.manual_seed(for_torch)
    return for_torch


def generator_of(seed: int, stream: Stream, *place: int) -> torch.Generator:
    """Return a generator of torch's on the CPU, seeded as :func:`seed_all` seeds."""
    words = np.random.SeedSequence((seed, stream, *place)).generate_state(1)
    return torch.Generator().manual_seed(int(words[0]))


@contextmanager
def seeded(seed: int, stream: Stream, *place: int) -> Iterator[None]:
    """Seed as :func:`seed_cpu` does within, then go on as if nothing had been drawn."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        seed_cpu(seed, stream, *place)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
