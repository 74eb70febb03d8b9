"""Seconds and bytes of calls that are compared: in turn, in one process, as ratios."""

import json
import os
import platform
import statistics
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from mmbmtas.cost.timing import CLOCKS
from mmbmtas.errors import InputError
from mmbmtas.launch.overrides import add_cfg_options

Call = Callable[[], object]


def add_config_arguments(parser: ArgumentParser) -> None:
    """Add the config, for parts that do not train it."""
    parser.add_argument('config', help='config file')
    add_cfg_options(parser)


def add_timing_arguments(parser: ArgumentParser, repeats: int) -> None:
    """Add the options of everything that is timed in turns."""
    parser.add_argument('--warmup', type=int, default=2, help='rounds before the clock starts')
    parser.add_argument('--repeats', type=int, default=repeats, help='rounds that are timed')
    parser.add_argument(
        '--clock',
        choices=[*CLOCKS],
        default='wall',
        help='what to time with: cpu counts the seconds of all threads, which on a busy machine '
        'varies less; on CPUs only',
    )


def check_rounds(args: Namespace) -> None:
    """Refuse numbers of rounds that no median can be taken of.

    Raises:
        ValueError: There are fewer than 2 to time, or fewer than 0 before.
    """
    if args.repeats < 2 or args.warmup < 0:
        raise InputError(
            f'--repeats {args.repeats}, --warmup {args.warmup}: expected at least 2 and 0'
        )


def summarise(seconds: Sequence[float]) -> dict[str, float]:
    """Return median, quartiles and minimum of at least two times."""
    low, median, high = statistics.quantiles(seconds, n=4, method='inclusive')
    return {
        'seconds': median,
        'lower_quartile': low,
        'upper_quartile': high,
        'fastest': min(seconds),
    }


def ratio(plain: Sequence[float], ours: Sequence[float]) -> float:
    """Return how many times faster ours is: the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(plain, ours, strict=True))


def peak_memory(call: Call, device: torch.device) -> int:
    """Return the bytes that a call holds at most, beyond what was held before it.

    On a GPU that is what torch's allocator says. On CPUs all its allocations and releases of
    tensors are recorded by torch's profiler and summed up in order; so it is exact, the same in
    every run, and leaves out what libraries allocate past torch. ``maxrss`` of the process would
    know that too, but also whatever ran before.
    """
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with record([ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'trace.json'
        recorded.export_chrome_trace(str(path))
        events = json.loads(path.read_text())['traceEvents']
    held = peak = 0
    changes = [event for event in events if event.get('name') == '[memory]']
    for event in sorted(changes, key=lambda event: event['ts']):  # a stable sort
        held += event['args']['Bytes']
        peak = max(peak, held)
    return peak


def record(activities: Sequence[ProfilerActivity], **options: Any) -> profile:
    """Return torch's profiler, which is silent where it otherwise tells each start and stop."""
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')
    return profile(activities=activities, **options)


def machine(device: torch.device) -> dict[str, Any]:
    """Say what was measured with: the command, the versions and the machine."""
    return {
        'command': ' '.join(['python', *sys.argv]),
        'device': torch.cuda.get_device_name(device) if device.type == 'cuda' else 'CPU',
        'processor': _processor(),
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'python': platform.python_version(),
    }


def describe_machine(result: Mapping[str, Any]) -> str:
    """Write :func:`machine` as a line."""
    return (
        f'{result["device"]} ({result["processor"]}), {result["threads"]} threads, '
        f'torch {result["torch"]}'
    )


def _processor() -> str:
    """Name the processor, as far as the system tells."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()
