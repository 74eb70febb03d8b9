"""A multi-task network's inference for all its tasks, beside a network of its own for each task.

Weights and images do not matter to the time, so both are random. One time is that of the forward
pass up to each task's map at the input's size; loading and writing images is not part of it. Only
trees have single-task networks to compare with; other networks are timed alone.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmbmtas.engine import launch
from mmbmtas.engine.comparison.networks import build_network
from mmbmtas.structures import BranchedArchitecture

from . import timing
from .runners import scratch


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this part."""
    launch.add_common_arguments(parser)
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help="size of the input (default: the model's cost_shape, where costs are stated)",
    )
    parser.add_argument('--batch-size', type=int, default=1)
    timing.add_timing_arguments(parser, repeats=30)


def run(args: Namespace) -> dict[str, Any]:
    """Measure.

    Raises:
        ValueError: A number is out of range.
    """
    timing.check_rounds(args)
    if args.batch_size < 1:
        raise ValueError(f'--batch-size {args.batch_size}: expected at least 1')
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    networks = build(args)
    model = networks['ours'][0]
    shape = tuple(args.shape or model.cost_shape)
    for network in (network for group in networks.values() for network in group):
        network.to(device).eval()
    images = torch.rand(args.batch_size, 3, *shape, device=device)
    calls = {name: lambda group=group: infer(group, images) for name, group in networks.items()}
    seconds = timing.interleave(calls, device, args.warmup, args.repeats, args.clock)
    result: dict[str, Any] = {
        **timing.machine(device),
        'tasks': [*model.tasks],
        'batch_size': args.batch_size,
        'shape': [*shape],
        'clock': args.clock,
    }
    for name, group in networks.items():
        summary = timing.summarise(seconds[name])
        result[name] = {
            **summary,
            'images_per_second': args.batch_size / summary['seconds'],
            'madds': sum(network.measure_network(shape).madds for network in group),
        }
    if 'plain' in networks:
        result['ratio'] = {
            'time': timing.ratio(seconds['plain'], seconds['ours']),
            'madds': result['plain']['madds'] / result['ours']['madds'],
        }
    return result


def build(args: Namespace) -> dict[str, list[Any]]:
    """Build the network of the config, and those of its single tasks if it is a tree."""
    options = args.cfg_options or {}
    model: nn.Module = build_network(args.config, options)
    tree = getattr(getattr(model, 'backbone', None), 'architecture', None)
    if not isinstance(tree, BranchedArchitecture) or len(tree.tasks) < 2:
        return {'ours': [model]}
    with scratch() as folder:
        singles = []
        for task in tree.tasks:
            path = Path(folder) / f'{task}.json'
            tree.for_tasks([task]).save(path)
            singles.append(build_network(args.config, options, path))
    return {'ours': [model], 'plain': singles}


@torch.inference_mode()
def infer(networks: list[Any], images: torch.Tensor) -> None:
    """Run networks one after another."""
    for network in networks:
        network.encode_decode(images)


def format_table(result: dict[str, Any]) -> str:
    """Lay the result out for people."""
    height, width = result['shape']
    lines = [
        timing.describe_machine(result),
        f'{len(result["tasks"])} tasks, batch {result["batch_size"]}, {height} x {width}, '
        f'{result["clock"]} clock',
        f'{"":26}{"ms":>10}{"quartiles":>20}{"images/s":>10}{"G MAdds":>10}',
    ]
    for name, title in (('plain', 'a network for each task'), ('ours', 'this network')):
        if name in result:
            figures = result[name]
            quartiles = [1e3 * figures[f'{part}_quartile'] for part in ('lower', 'upper')]
            lines.append(
                f'{title:26}{1e3 * figures["seconds"]:10.2f}'
                f'{f"{quartiles[0]:.2f} to {quartiles[1]:.2f}":>20}'
                f'{figures["images_per_second"]:10.1f}{figures["madds"] / 1e9:10.3f}'
            )
    if 'ratio' in result:
        ratio = result['ratio']
        lines.append(f'{"ratio":26}{ratio["time"]:10.2f}{"":30}{ratio["madds"]:10.2f}')
    return '\n'.join(lines)
