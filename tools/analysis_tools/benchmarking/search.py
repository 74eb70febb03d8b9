"""A search's iteration of each phase, beside a supernet that runs its candidates one by one.

Both train on the same made-up images, in turn, in one process. With the config's data at hand
(data_root), the share of time that ours waits for it is measured too.
"""

import functools
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner

from mmbmtas.cost import MAX_TASKS_RECURSIVE, NetworkCost
from mmbmtas.engine import launch
from mmbmtas.engine.runner import BranchedSearchLoop
from mmbmtas.engine.runner.search_plan import Position

from . import plain, timing
from .runners import (
    MadeUpImages,
    add_training_arguments,
    build_runner,
    check_training_arguments,
    has_data,
    scratch,
    waiting_share,
)

PHASES = ('warmup', 'arch', 'weights')


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this part."""
    add_training_arguments(parser)
    timing.add_timing_arguments(parser, repeats=10)
    parser.add_argument('--phases', nargs='+', choices=PHASES, default=[*PHASES])
    parser.add_argument(
        '--memory',
        action='store_true',
        help='peak memory of ours alone, of the most expensive task, without clock: for settings '
        'that take too long here otherwise',
    )


def run(args: Namespace) -> dict[str, Any]:
    """Measure.

    Raises:
        ValueError: The config is not of a search, or a number is out of range.
    """
    check_training_arguments(args)
    if args.memory:
        return measure_memory(args)
    timing.check_rounds(args)
    with scratch() as folder:
        runners = {
            'ours': build_runner(args, Path(folder) / 'ours', check_search),
            'plain': build_runner(args, Path(folder) / 'plain', make_plain),
        }
        loop: Any = runners['ours'].train_loop
        runners['plain'].model.load_state_dict(runners['ours'].model.state_dict())
        batch = next(iter(loop.dataloader))
        phases = {phase: measure_phase(runners, phase, batch, args) for phase in args.phases}
        if (waiting := measure_waiting(args, Path(folder) / 'data')) is not None:
            for phase, share in waiting.items():
                phases[phase]['waiting_share'] = share
        model, size = loop.model, batch['inputs'][0].shape[1:]
        cost = model.measure_cost(tuple(size))
        if 'warmup' in phases:
            phases['warmup']['ratio']['madds'] = warmup_madds_ratio(cost)
        return {
            **timing.machine(next(model.parameters()).device),
            'tasks': [*model.tasks],
            'batch_size': len(batch['inputs']),
            'shape': [*size],
            'amp': args.amp,
            'clock': args.clock,
            'phases': phases,
            'search_ratio': search_ratio(phases),
        }


def check_search(cfg: Config) -> None:
    """Refuse configs of anything but a search."""
    if cfg.model.type != 'SearchEncoderDecoder':
        raise ValueError(f'{cfg.filename} trains a {cfg.model.type}: name the config of a search')


def make_plain(cfg: Config) -> None:
    """Put the plain implementation in place of ours."""
    cfg.model.backbone.type = plain.PlainSupernet.__name__
    cfg.model.backbone.pop('routing', None)
    loss = cfg.model.resource_loss
    is_small = len(cfg.model.decode_heads) <= MAX_TASKS_RECURSIVE
    if is_small and loss.get('expectation') != 'sampled' and loss.get('latency') is None:
        loss.pop('expectation', None)
        loss.type = plain.PlainResourceLoss.__name__


def step(runner: Runner, phase: Any, batch: Any) -> None:
    """Run one iteration of a phase."""
    loop = runner.train_loop
    assert isinstance(loop, BranchedSearchLoop)
    loop.position = Position(phase, index=1, epoch=0, batch=0)  # a phase's first one resets
    loop.enter(phase)
    loop.run_iter(batch)


def measure_phase(
    runners: dict[str, Runner], phase: str, batch: Any, args: Namespace
) -> dict[str, Any]:
    """Measure the iterations of one phase, ours and the plain one."""
    device = next(runners['ours'].model.parameters()).device
    calls = {
        name: lambda runner=runner: step(runner, phase, batch) for name, runner in runners.items()
    }
    seconds = timing.interleave(calls, device, args.warmup, args.repeats, args.clock)
    figures: dict[str, Any] = {}
    for name, call in calls.items():
        summary = timing.summarise(seconds[name])
        figures[name] = {
            **summary,
            'images_per_second': len(batch['inputs']) / summary['seconds'],
            'peak_bytes': timing.peak_memory(call, device),
        }
    figures['ratio'] = {
        'time': timing.ratio(seconds['plain'], seconds['ours']),
        'memory': figures['plain']['peak_bytes'] / figures['ours']['peak_bytes'],
    }
    return figures


def measure_memory(args: Namespace) -> dict[str, Any]:
    """Measure the peak memory of ours in iterations that only the most expensive task has.

    Tasks take turns and leave nothing but gradients behind, so that one of them decides.
    """
    with scratch() as folder:
        runner = build_runner(args, Path(folder) / 'ours', check_search)
        loop: Any = runner.train_loop
        model, batch = loop.model, next(iter(loop.dataloader))
        heads = launch.load_config(args).model.decode_heads
        task = max(heads, key=lambda name: heads[name].num_classes)
        for sample in batch['data_samples']:
            for name in set(sample.keys()) - {heads[task].target_key}:
                sample.pop(name)
        few = MadeUpImages(heads, (64, 64), count=2)
        device = next(model.parameters()).device
        peaks = {}
        for phase in args.phases:
            step(runner, phase, pseudo_collate([few[0], few[1]]))  # optimisers have their state
            peaks[phase] = timing.peak_memory(functools.partial(step, runner, phase, batch), device)
        kept = [*model.state_dict().values(), *_optimiser_state(runner.optim_wrapper.state_dict())]
        return {
            **timing.machine(device),
            'tasks': [*model.tasks],
            'task': task,
            'batch_size': len(batch['inputs']),
            'shape': [*batch['inputs'][0].shape[1:]],
            'amp': args.amp,
            'kept_bytes': sum(tensor.nbytes for tensor in kept),
            'peak_bytes': peaks,
        }


def _optimiser_state(state: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors within nested dicts."""
    for value in state.values():
        if isinstance(value, dict):
            yield from _optimiser_state(value)
        elif isinstance(value, torch.Tensor):
            yield value


def warmup_madds_ratio(cost: NetworkCost) -> float:
    """Return how many times the multiply-adds of ours the plain warm-up takes, forwards.

    Both run the stem anew for each task, whose weights step between.
    """
    tasks = len(cost.decoders)
    layers, decoders = sum(cost.layer_madds), sum(c.madds for c in cost.decoders.values())
    fixed = tasks * cost.stem.madds + decoders
    return (fixed + tasks * tasks * layers) / (fixed + tasks * layers)


def search_ratio(phases: dict[str, Any]) -> float | None:
    """Return the ratio of one architecture and one weight iteration together, if both are there."""
    if not {'arch', 'weights'} <= set(phases):
        return None
    totals = [
        sum(phases[phase][name]['seconds'] for phase in ('arch', 'weights'))
        for name in ('plain', 'ours')
    ]
    return totals[0] / totals[1]


def measure_waiting(args: Namespace, work_dir: Path) -> dict[str, float] | None:
    """Return the share of time spent waiting for the loader, for each phase.

    None where the config's data is not there.
    """
    if not has_data(args):
        return None
    runner = build_runner(args, work_dir, check_search, real_data=True)
    loop: Any = runner.train_loop
    device = next(runner.model.parameters()).device
    return {
        phase: waiting_share(
            loop.arch_dataloader if phase == 'arch' else loop.dataloader,
            functools.partial(step, runner, phase),
            device,
            args.loader_iters,
        )
        for phase in args.phases
    }


def format_table(result: dict[str, Any]) -> str:
    """Lay the result out for people."""
    if 'kept_bytes' in result:
        return format_memory(result)
    height, width = result['shape']
    lines = [
        timing.describe_machine(result),
        f'{len(result["tasks"])} tasks, batch {result["batch_size"]}, {height} x {width}, '
        f'{result["clock"]} clock{", mixed precision" if result["amp"] else ""}',
        f'{"":10}{"plain, s":>10}{"ours, s":>10}{"ratio":>8}{"plain, MB":>11}{"ours, MB":>10}'
        f'{"ratio":>8}{"images/s":>10}{"waiting":>9}',
    ]
    for phase, figures in result['phases'].items():
        ours, other, ratio = figures['ours'], figures['plain'], figures['ratio']
        waiting = figures.get('waiting_share')
        lines.append(
            f'{phase:10}{other["seconds"]:10.3f}{ours["seconds"]:10.3f}{ratio["time"]:8.2f}'
            f'{other["peak_bytes"] / 1e6:11.1f}{ours["peak_bytes"] / 1e6:10.1f}'
            f'{ratio["memory"]:8.2f}{ours["images_per_second"]:10.1f}'
            f'{"" if waiting is None else f"{waiting:.1%}":>9}'
        )
    if 'warmup' in result['phases']:
        madds = result['phases']['warmup']['ratio']['madds']
        lines.append(f'Multiply-adds of the plain warm-up: {madds:.2f} times ours.')
    if result['search_ratio'] is not None:
        lines.append(f'Architecture and weights together: {result["search_ratio"]:.2f} times.')
    return '\n'.join(lines)


def format_memory(result: dict[str, Any]) -> str:
    """Lay out what :func:`measure_memory` returns."""
    height, width = result['shape']
    lines = [
        timing.describe_machine(result),
        f'{len(result["tasks"])} tasks, of them {result["task"]} in turn, '
        f'batch {result["batch_size"]}, {height} x {width}'
        f'{", mixed precision" if result["amp"] else ""}; MB',
        f'{"weights and optimisers":24}{result["kept_bytes"] / 1e6:10.1f}',
    ]
    for phase, peak in result['peak_bytes'].items():
        lines.append(f'{phase + ", beyond":24}{peak / 1e6:10.1f}')
    return '\n'.join(lines)
