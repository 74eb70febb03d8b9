"""The resource loss of a search, forwards and backwards: exact, beside the paper's recursion.

The costs of the layers are the config's; ``--tasks`` takes another number of tasks than it has.
Beside these two, and where the number of tasks allows them: our own form of the recursion, the
estimate from sampled routings, and the exact loss of a latency table. Start-up is what the first
call takes longer than later ones, tables and all.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmbmtas.cost import MAX_TASKS, MAX_TASKS_COUNTED, MAX_TASKS_RECURSIVE, expected_cost
from mmbmtas.cost.timing import interleave
from mmbmtas.errors import InputError
from mmbmtas.launch.tree_config import read_tree_config
from mmbmtas.losses import ResourceLoss

from . import timing
from .plain import PlainRecursion

TITLES = {
    'plain': 'recursion as in the paper',
    'recursive': 'recursion, ours',
    'ours': 'exact',
    'sampled': 'sampled',
    'latency': 'exact, latency',
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this part."""
    timing.add_config_arguments(parser)
    parser.add_argument('--tasks', type=int, help="number of tasks (default: the config's)")
    timing.add_timing_arguments(parser, repeats=20)


def run(args: Namespace) -> dict[str, Any]:
    """Measure.

    Raises:
        ValueError: A number is out of range.
    """
    timing.check_rounds(args)
    config = read_tree_config(args.config, args.cfg_options)
    num_tasks = len(config.tasks) if args.tasks is None else args.tasks
    if num_tasks < 1:
        raise InputError(f'--tasks {num_tasks}: expected at least 1')
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    madds = config.cost.layer_madds
    random = torch.Generator().manual_seed(0)
    params = torch.randn(len(madds), num_tasks, num_tasks, generator=random)
    params = params.to(device).requires_grad_()
    losses: dict[str, Callable[[Tensor], Tensor]] = {}

    def step(name: str) -> None:
        if name not in losses:
            losses[name] = build_loss(name, num_tasks, madds, device)
        params.grad = None
        losses[name](params.softmax(dim=-1)).backward()

    calls = {name: lambda name=name: step(name) for name in forms(num_tasks)}
    first = interleave(calls, device, 0, 1, args.clock)
    seconds = interleave(calls, device, args.warmup, args.repeats, args.clock)
    figures: dict[str, Any] = {
        name: {
            **(summary := timing.summarise(seconds[name])),
            'startup': max(first[name][0] - summary['seconds'], 0.0),
            'peak_bytes': timing.peak_memory(call, device),
        }
        for name, call in calls.items()
    }
    result = {
        **timing.machine(device),
        'tasks': num_tasks,
        'layers': len(madds),
        'clock': args.clock,
        **figures,
    }
    if {'plain', 'ours'} <= set(seconds):
        result['ratio'] = {
            'time': timing.ratio(seconds['plain'], seconds['ours']),
            'recursive': timing.ratio(seconds['recursive'], seconds['ours']),
        }
    return result


def forms(num_tasks: int) -> list[str]:
    """Name the forms of the loss that there are for a number of tasks."""
    most = {
        'plain': MAX_TASKS_RECURSIVE,
        'recursive': MAX_TASKS_RECURSIVE,
        'ours': MAX_TASKS,
        'latency': MAX_TASKS_COUNTED,
        'sampled': num_tasks,
    }
    return [name for name, limit in most.items() if num_tasks <= limit]


def build_loss(
    name: str, num_tasks: int, madds: Sequence[int], device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Build one of the forms, as a function of the probabilities."""
    giga = [layer / 1e9 for layer in madds]
    if name == 'plain':
        plain = PlainRecursion(num_tasks, device)
        return lambda probs: plain(probs, giga)
    if name == 'latency':
        table = [[copies * layer for copies in range(1, num_tasks + 1)] for layer in giga]
        return lambda probs: expected_cost(probs, table)
    kind: Any = 'exact' if name == 'ours' else name
    loss = ResourceLoss(1.0, expectation=kind)
    return lambda probs: loss(probs, madds)


def format_table(result: dict[str, Any]) -> str:
    """Lay the result out for people."""
    lines = [
        timing.describe_machine(result),
        f'{result["tasks"]} tasks, {result["layers"]} layers, {result["clock"]} clock',
        f'{"":28}{"ms":>10}{"fastest":>10}{"start-up":>10}{"MB":>10}',
    ]
    for name, title in TITLES.items():
        if name in result:
            figures = result[name]
            times = [1e3 * figures[key] for key in ('seconds', 'fastest', 'startup')]
            lines.append(
                f'{title:28}'
                + ''.join(f'{time:10.3f}' for time in times)
                + f'{figures["peak_bytes"] / 1e6:10.3f}'
            )
    if 'ratio' in result:
        ratio = result['ratio']
        lines.append(
            f'The exact loss is {ratio["time"]:.1f} times as fast as the recursion of the paper, '
            f'{ratio["recursive"]:.1f} times as ours.'
        )
    return '\n'.join(lines)
