"""The resource loss of a search, forwards and backwards: exact, beside the paper's recursion.

The costs of the layers are the config's; ``--tasks`` takes another number of tasks than it has.
"""

from argparse import ArgumentParser, Namespace
from typing import Any

import torch

from mmbmtas.cost import MAX_TASKS_RECURSIVE
from mmbmtas.engine.tree_config import read_tree_config
from mmbmtas.models.losses import ResourceLoss

from . import timing


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
    kinds = {'ours': 'exact'}
    if num_tasks <= MAX_TASKS_RECURSIVE:
        kinds['plain'] = 'recursive'
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    layer_madds = config.cost.layer_madds
    random = torch.Generator().manual_seed(0)
    params = torch.randn(len(layer_madds), num_tasks, num_tasks, generator=random)
    params = params.to(device).requires_grad_()

    def step(loss: ResourceLoss) -> None:
        params.grad = None
        loss(params.softmax(dim=-1), layer_madds).backward()

    losses = {name: ResourceLoss(expectation=kind) for name, kind in kinds.items()}  # type: ignore[arg-type]
    losses['ours'].check_tasks(num_tasks)
    calls = {name: lambda loss=loss: step(loss) for name, loss in losses.items()}
    seconds = timing.interleave(calls, device, args.warmup, args.repeats, args.clock)
    figures: dict[str, Any] = {
        name: {**timing.summarise(seconds[name]), 'peak_bytes': timing.peak_memory(call, device)}
        for name, call in calls.items()
    }
    result = {
        **timing.machine(device),
        'tasks': num_tasks,
        'layers': len(layer_madds),
        'clock': args.clock,
        **figures,
    }
    if 'plain' in seconds:
        result['ratio'] = {'time': timing.ratio(seconds['plain'], seconds['ours'])}
    return result


def format_table(result: dict[str, Any]) -> str:
    """Lay the result out for people."""
    lines = [
        timing.describe_machine(result),
        f'{result["tasks"]} tasks, {result["layers"]} layers, {result["clock"]} clock',
        f'{"":12}{"ms":>10}{"MB":>10}',
    ]
    for name, title in (('plain', 'recursion'), ('ours', 'exact')):
        if name in result:
            figures = result[name]
            lines.append(
                f'{title:12}{1e3 * figures["seconds"]:10.3f}{figures["peak_bytes"] / 1e6:10.3f}'
            )
    if 'ratio' in result:
        lines.append(f'{"ratio":12}{result["ratio"]["time"]:10.2f}')
    return '\n'.join(lines)
