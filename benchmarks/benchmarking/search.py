"""A search's iteration of each phase, beside a supernet that runs its candidates one by one.

Both train on the same made-up images, in turn, in one process. With the config's data at hand
(data_root), the share of time that ours waits for it is measured too.
"""

import contextlib
import functools
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.models.utils import InvertedResidual

from mmbmtas import launch
from mmbmtas.cost import MAX_TASKS_RECURSIVE, NetworkCost
from mmbmtas.cost.timing import interleave
from mmbmtas.engine.runner import BranchedSearchLoop
from mmbmtas.engine.runner.search_plan import Position
from mmbmtas.errors import InputError
from mmbmtas.models.backbones import wide
from mmbmtas.models.segmentors import SearchEncoderDecoder
from mmbmtas.registry import MODELS, is_type

from . import plain, timing
from .runners import (
    add_loader_arguments,
    add_training_arguments,
    build_runner,
    check_training_arguments,
    has_data,
    scratch,
    waiting_share,
)
from .whole_search import plan_of, whole_search

PHASES = ('warmup', 'arch', 'weights')


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this part."""
    add_training_arguments(parser)
    add_loader_arguments(parser)
    timing.add_timing_arguments(parser, repeats=10)
    add_phases(parser)
    parser.add_argument(
        '--channels-last',
        action='store_true',
        help='let the maps of ours have their channels last; on CPUs they have in any case',
    )
    parser.add_argument(
        '--compile',
        metavar='BACKEND',
        help='compile the wide layers of ours by torch.compile, as with inductor',
    )
    parser.add_argument(
        '--graphs', action='store_true', help='let ours replay its passes as CUDA graphs'
    )


def add_phases(parser: ArgumentParser) -> None:
    """Add which phases to look at."""
    parser.add_argument('--phases', nargs='+', choices=PHASES, default=[*PHASES])


def run(args: Namespace) -> dict[str, Any]:
    """Measure.

    Raises:
        ValueError: The config is not of a search, or a number is out of range.
    """
    check_training_arguments(args)
    timing.check_rounds(args)
    with compiled(args.compile), scratch() as folder:
        waiting = measure_waiting(args, Path(folder) / 'data')  # first: files may lack
        runners = {
            'ours': build_runner(args, Path(folder) / 'ours', functools.partial(prepare, args)),
            'plain': build_runner(args, Path(folder) / 'plain', make_plain),
        }
        loop: Any = runners['ours'].train_loop
        if args.channels_last:
            loop.model.to(memory_format=torch.channels_last)
        runners['plain'].model.load_state_dict(runners['ours'].model.state_dict())
        batch = next(iter(loop.dataloader))
        phases = {phase: measure_phase(runners, phase, batch, args) for phase in args.phases}
        for phase, share in (waiting or {}).items():
            phases[phase]['waiting_share'] = share
        model, size = loop.model, batch['inputs'][0].shape[1:]
        cost = model.measure_cost(tuple(size))
        if 'warmup' in phases:
            phases['warmup']['ratio']['madds'] = warmup_madds_ratio(cost)
        plan = plan_of(launch.load_config(args), len(batch['inputs']))
        whole = whole_search(plan, phases) if plan and set(phases) == set(PHASES) else None
        return {
            **timing.machine(next(model.parameters()).device),
            'tasks': [*model.tasks],
            'batch_size': len(batch['inputs']),
            'shape': [*size],
            'amp': args.amp,
            'channels_last': args.channels_last,
            'compile': args.compile,
            'graphs': args.graphs,
            'clock': args.clock,
            'phases': phases,
            'search_ratio': search_ratio(phases),
            'whole_search': whole,
        }


@contextlib.contextmanager
def compiled(backend: str | None) -> Iterator[None]:
    """Compile the wide form of inverted residuals, for each layer and phase of its own.

    Args:
        backend: One that ``torch.compile`` knows; None for none.

    Raises:
        InputError: It knows no such backend.
    """
    if backend is None:
        yield
        return
    known = torch._dynamo.list_backends(exclude_tags=None)
    if backend not in known:
        raise InputError(f'--compile {backend}: expected one of {known}')
    mix = torch.compile(wide._MIXTURES[InvertedResidual], backend=backend, dynamic=False)
    with (
        mock.patch.dict(wide._MIXTURES, {InvertedResidual: mix}),
        torch._dynamo.config.patch(cache_size_limit=256),
    ):
        yield


def check_search(cfg: Config) -> None:
    """Refuse configs of anything but a search."""
    if not is_type(MODELS, cfg.model.type, SearchEncoderDecoder, cfg.get('default_scope')):
        raise InputError(f'{cfg.filename} trains a {cfg.model.type}: name the config of a search')


def prepare(args: Namespace, cfg: Config) -> None:
    """Let ours be as the command line says."""
    check_search(cfg)
    if args.graphs:
        cfg.train_cfg.graphs = True


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
    seconds = interleave(calls, device, args.warmup, args.repeats, args.clock)
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
    height, width = result['shape']
    lines = [
        timing.describe_machine(result),
        f'{len(result["tasks"])} tasks, batch {result["batch_size"]}, {height} x {width}, '
        f'{result["clock"]} clock{", mixed precision" if result["amp"] else ""}'
        f'{", channels last" if result["channels_last"] else ""}'
        f'{", compiled by " + result["compile"] if result["compile"] else ""}'
        f'{", CUDA graphs" if result["graphs"] else ""}',
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
    if whole := result['whole_search']:
        hours, iterations = whole['hours'], sum(whole['iterations'].values())
        lines.append(
            f'A whole search, {iterations} iterations: {hours["ours"]:.1f} hours, '
            f'plain {hours["plain"]:.1f}.'
        )
    return '\n'.join(lines)
