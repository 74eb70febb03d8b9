"""What a search holds at most, in iterations that only its most expensive task has.

Tasks take turns and leave nothing but gradients behind, so that one of them decides. There is no
plain implementation beside it and no clock: it is for settings that take too long here otherwise.
"""

import functools
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import pseudo_collate

from mmbmtas import launch

from . import timing
from .runners import (
    MadeUpImages,
    add_training_arguments,
    build_runner,
    check_training_arguments,
    scratch,
)
from .search import add_phases, check_search, step


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this part."""
    add_training_arguments(parser)
    add_phases(parser)


def run(args: Namespace) -> dict[str, Any]:
    """Measure.

    Raises:
        ValueError: The config is not of a search, or a number is out of range.
    """
    check_training_arguments(args)
    with scratch() as folder:
        runner = build_runner(args, Path(folder) / 'ours', check_search)
        loop: Any = runner.train_loop
        model, batch = loop.model, next(iter(loop.dataloader))
        heads = launch.load_config(args).model.decode_heads
        task = max(heads, key=lambda name: heads[name].num_classes)
        for sample in batch['data_samples']:
            for name in set(sample.keys()) - {heads[task].target_key}:
                sample.pop(name)
        few = MadeUpImages(heads, (64, 64), count=2, length=2)
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


def format_table(result: dict[str, Any]) -> str:
    """Lay the result out for people."""
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


def _optimiser_state(state: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors within nested dicts."""
    for value in state.values():
        if isinstance(value, dict):
            yield from _optimiser_state(value)
        elif isinstance(value, torch.Tensor):
            yield value
