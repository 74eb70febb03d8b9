"""Where the time of a search's iterations goes: shares of kinds of operators, by torch's profiler.

Shares are of the time within operators, which the profiler itself makes longer, small ones most.
On GPUs the time is that of the kernels which an operator started.
"""

import functools
import re
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from mmbmtas.cost.timing import wait_for
from mmbmtas.errors import InputError

from . import timing
from .runners import add_training_arguments, build_runner, check_training_arguments, scratch
from .search import add_phases, check_search, step

KINDS = {
    'convolutions': r'convolution|conv\dd',
    'normalisations': 'batch_?norm',
    'activations': 'relu|hardtanh|threshold',
    'joining': r'\b(cat|stack)(backward\d*)?$',
    'optimisers': r'^optimizer\.',
}
"""What the names of a kind's operators have; an operator within one counts with it."""
_PATTERNS = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in KINDS.items()}
_BACKWARD = 'autograd::engine::evaluate_function'


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this part."""
    add_training_arguments(parser)
    add_phases(parser)
    parser.add_argument('--warmup', type=int, default=1, help='iterations before')
    parser.add_argument('--repeats', type=int, default=2, help='iterations that are recorded')


def run(args: Namespace) -> dict[str, Any]:
    """Measure.

    Raises:
        ValueError: The config is not of a search, or a number is out of range.
    """
    check_training_arguments(args)
    if args.repeats < 1 or args.warmup < 0:
        raise InputError(
            f'--repeats {args.repeats}, --warmup {args.warmup}: expected at least 1 and 0'
        )
    with scratch() as folder:
        runner = build_runner(args, Path(folder) / 'ours', check_search)
        loop: Any = runner.train_loop
        batch = next(iter(loop.dataloader))
        device = next(runner.model.parameters()).device
        phases = {}
        for phase in args.phases:
            call = functools.partial(step, runner, phase, batch)
            phases[phase] = shares(call, device, args.warmup, args.repeats)
        return {
            **timing.machine(device),
            'tasks': [*loop.model.tasks],
            'batch_size': len(batch['inputs']),
            'shape': [*batch['inputs'][0].shape[1:]],
            'amp': args.amp,
            'phases': phases,
        }


def shares(
    call: timing.Call, device: torch.device, warmup: int, repeats: int
) -> dict[str, dict[str, float]]:
    """Return the share of each kind of operator in the time of some calls, in all 1.

    Args:
        call: What to run.
        device: Where it computes.
        warmup: Calls that are not recorded.
        repeats: Calls that are.

    Returns:
        Shares by kind (``KINDS`` and ``others``), each ``forward`` and ``backward``.
    """
    for _ in range(warmup):
        call()
    on_gpu = device.type == 'cuda'
    with timing.record([ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]) as recorded:
        for _ in range(repeats):
            call()
        wait_for(device)
    spent: Counter[tuple[str, str]] = Counter()
    for event in recorded.events():
        kernels = sum(kernel.duration for kernel in event.kernels)
        spent[classify(event)] += kernels if on_gpu else event.self_cpu_time_total
    total = sum(spent.values())
    return {
        kind: {way: spent[kind, way] / total for way in ('forward', 'backward')}
        for kind in (*KINDS, 'others')
    }


def classify(event: Any) -> tuple[str, str]:
    """Return the kind of what the profiler recorded, and whether it ran forwards or backwards."""
    kind, way = 'others', 'forward'
    while event is not None:
        if kind == 'others':
            found = (name for name, pattern in _PATTERNS.items() if pattern.search(event.name))
            kind = next(found, kind)
        if event.name.startswith(_BACKWARD):
            way = 'backward'
        event = event.cpu_parent
    return kind, way


def format_table(result: dict[str, Any]) -> str:
    """Lay the result out for people."""
    height, width = result['shape']
    phases = result['phases']
    lines = [
        timing.describe_machine(result),
        f'{len(result["tasks"])} tasks, batch {result["batch_size"]}, {height} x {width}'
        f'{", mixed precision" if result["amp"] else ""}; shares of the time within operators',
        f'{"":16}' + ''.join(f'{phase:>10}{"backward":>10}' for phase in phases),
    ]
    for kind in (*KINDS, 'others'):
        cells = (found[kind][way] for found in phases.values() for way in ('forward', 'backward'))
        lines.append(f'{kind:16}' + ''.join(f'{share:10.1%}' for share in cells))
    return '\n'.join(lines)
