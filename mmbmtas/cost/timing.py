"""Clocks that time calls on a device in turn, and wait for a GPU."""

import itertools
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from mmbmtas.errors import InputError

CLOCKS: dict[str, Callable[[], float]] = {'wall': time.perf_counter, 'cpu': time.process_time}
"""Seconds that have gone by, and those that all threads of the process have computed."""


def check_clock(clock: str, device: torch.device) -> None:
    """Refuse a clock that cannot measure the time on a device.

    Raises:
        ValueError: ``clock`` is ``cpu`` on another device.
    """
    if clock == 'cpu' and device.type != 'cpu':
        raise InputError(f'clock cpu cannot measure the time on {device}: expected wall')


def latency_place(device: torch.device) -> str:
    """Name where times are measured: the device, and on CPUs the number of threads."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f'CPU, {threads} thread{"s" if threads > 1 else ""}'


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def interleave(
    calls: Mapping[str, Callable[[], object]],
    device: torch.device,
    warmup: int,
    repeats: int,
    clock: str = 'wall',
    around: Callable[[str], AbstractContextManager[object]] = lambda name: nullcontext(),
) -> dict[str, list[float]]:
    """Time calls in turn (A, B, A, B, ...), so that a busy moment of the machine hits all alike.

    Args:
        calls: What to run, by name.
        device: Where it computes; a GPU is waited for after each call.
        warmup: Rounds before the clock starts.
        repeats: Rounds that are timed.
        clock: Name of the clock, see :data:`CLOCKS`.
        around: What to do before and after a call of this name, not timed.

    Returns:
        Seconds of each timed round, by name.

    Raises:
        ValueError: The clock does not see what the device does.
    """
    check_clock(clock, device)
    now = CLOCKS[clock]
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(warmup + repeats):
        for name, call in calls.items():
            with around(name):
                start = now()
                call()
                wait_for(device)
                taken = now() - start
            if index >= warmup:
                seconds[name].append(taken)
    return seconds


class Marks:
    """Read the time between marks; on a GPU, the time of the GPU, which runs asynchronously.

    Args:
        device: Where what is timed computes.
        clock: Name of the clock, see :data:`CLOCKS`.
    """

    def __init__(self, device: torch.device, clock: str = 'wall') -> None:
        self.device = device
        self.now = CLOCKS[clock]
        self.marks: list[Any] = []
        wait_for(device)
        self.mark()

    def mark(self) -> None:
        """Set a mark."""
        if self.device.type == 'cuda':
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self.device))
            self.marks.append(event)
        else:
            self.marks.append(self.now())

    def milliseconds(self) -> list[float]:
        """Return the time between each two marks."""
        pairs = list(itertools.pairwise(self.marks))
        if self.device.type == 'cuda':
            wait_for(self.device)
            return [start.elapsed_time(end) for start, end in pairs]
        return [1e3 * (end - start) for start, end in pairs]
