"""An iteration of a multi-task network's training, beside a network of its own for each task.

The single-task networks train one after another on the same made-up images. With the config's data
at hand (data_root), the share of time that the multi-task network waits for it is measured too.
"""

import functools
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from mmengine.runner import Runner

from mmbmtas.cost import ModuleCost
from mmbmtas.cost.timing import interleave
from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture

from . import timing
from .runners import (
    add_loader_arguments,
    add_training_arguments,
    build_runner,
    check_training_arguments,
    has_data,
    scratch,
    waiting_share,
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this part."""
    add_training_arguments(parser)
    add_loader_arguments(parser)
    timing.add_timing_arguments(parser, repeats=10)


def run(args: Namespace) -> dict[str, Any]:
    """Measure.

    Raises:
        ValueError: The config is not of a tree's training, or a number is out of range.
    """
    check_training_arguments(args)
    timing.check_rounds(args)
    with scratch() as folder:
        network = build_runner(args, Path(folder) / 'network')
        tree = getattr(getattr(network.model, 'backbone', None), 'architecture', None)
        if not isinstance(tree, BranchedArchitecture):
            raise InputError(f'{args.config} trains no tree: name the config of a branched network')
        waiting = measure_waiting(args, Path(folder) / 'data')  # first: files may lack
        singles = [
            build_runner(args, Path(folder) / task, tree=tree.for_tasks([task]))
            for task in tree.tasks
        ]
        batch = next(iter(network.train_dataloader))
        device = next(network.model.parameters()).device
        calls = {
            'ours': lambda: step([network], batch),
            'plain': lambda: step(singles, batch),
        }
        seconds = interleave(calls, device, args.warmup, args.repeats, args.clock)
        size = tuple(batch['inputs'][0].shape[1:])
        costs: dict[str, ModuleCost] = {
            'ours': network.model.measure_network(size),
            'plain': sum((one.model.measure_network(size) for one in singles), ModuleCost()),
        }
        figures: dict[str, Any] = {
            name: {
                **(summary := timing.summarise(seconds[name])),
                'images_per_second': len(batch['inputs']) / summary['seconds'],
                'peak_bytes': timing.peak_memory(call, device),
                'madds': costs[name].madds,
            }
            for name, call in calls.items()
        }
        if waiting is not None:
            figures['ours']['waiting_share'] = waiting
        return {
            **timing.machine(device),
            'tasks': [*tree.tasks],
            'batch_size': len(batch['inputs']),
            'shape': [*size],
            'amp': args.amp,
            'clock': args.clock,
            **figures,
            'ratio': {
                'time': timing.ratio(seconds['plain'], seconds['ours']),
                'memory': figures['plain']['peak_bytes'] / figures['ours']['peak_bytes'],
                'madds': costs['plain'].madds / costs['ours'].madds,
            },
        }


def measure_waiting(args: Namespace, work_dir: Path) -> float | None:
    """Return the share of time spent waiting for the loader; None where no data is there."""
    if not has_data(args):
        return None
    runner = build_runner(args, work_dir, real_data=True)
    device = next(runner.model.parameters()).device
    train = functools.partial(step, [runner])
    return waiting_share(runner.train_dataloader, train, device, args.loader_iters)


def step(runners: list[Runner], batch: Any) -> None:
    """Train each network on the batch, as mmengine's loop does."""
    for runner in runners:
        runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)


def format_table(result: dict[str, Any]) -> str:
    """Lay the result out for people."""
    height, width = result['shape']
    lines = [
        timing.describe_machine(result),
        f'{len(result["tasks"])} tasks, batch {result["batch_size"]}, {height} x {width}, '
        f'{result["clock"]} clock{", mixed precision" if result["amp"] else ""}',
        f'{"":22}{"seconds":>10}{"images/s":>10}{"MB":>10}{"G MAdds":>10}{"waiting":>9}',
    ]
    for name, title in (('plain', 'a network for each task'), ('ours', 'this network')):
        figures = result[name]
        waiting = figures.get('waiting_share')
        lines.append(
            f'{title:22}{figures["seconds"]:10.3f}{figures["images_per_second"]:10.1f}'
            f'{figures["peak_bytes"] / 1e6:10.1f}{figures["madds"] / 1e9:10.3f}'
            f'{"" if waiting is None else f"{waiting:.1%}":>9}'
        )
    ratio = result['ratio']
    lines.append(
        f'{"ratio":22}{ratio["time"]:10.2f}{"":10}{ratio["memory"]:10.2f}{ratio["madds"]:10.2f}'
    )
    return '\n'.join(lines)
