"""A tree's inference for all its tasks, beside a network of its own for each task and a shared one.

Weights and images do not matter to the time, so both are random. One time is that of the forward
pass up to each task's map at the input's size; loading and writing images is not part of it. All
networks run in the same way. Shares are those of the networks of single tasks together, in time
and in multiply-adds. Only trees have such networks; others are timed alone.

An exported network (.onnx) stands for a config. It is timed alone, in ONNX Runtime on the CPU, and
with all that is in the file: from bytes to maps or decisions.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmbmtas import launch
from mmbmtas.comparison.networks import build_network
from mmbmtas.cost import LatencyTable
from mmbmtas.cost.timing import interleave
from mmbmtas.deploy import is_exported
from mmbmtas.errors import InputError
from mmbmtas.models.inference import prepare_for_inference
from mmbmtas.structures import BranchedArchitecture

from . import infer_exported, tables, timing
from .runners import scratch

TITLES = {'plain': 'a network for each task', 'shared': 'shared network', 'ours': 'this network'}


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
    parser.add_argument(
        '--fuse-conv-bn', action='store_true', help='as tools/infer.py --fuse-conv-bn'
    )
    parser.add_argument(
        '--channels-last', action='store_true', help='as tools/infer.py --channels-last'
    )
    parser.add_argument(
        '--latency',
        metavar='FILE.json',
        help='what a table of measure_latency.py says, beside what is measured',
    )
    timing.add_timing_arguments(parser, repeats=30)


def run(args: Namespace) -> dict[str, Any]:
    """Measure.

    Raises:
        ValueError: A number is out of range, or the latency table is of another network or was
            measured in another way.
    """
    timing.check_rounds(args)
    if args.batch_size < 1:
        raise InputError(f'--batch-size {args.batch_size}: expected at least 1')
    if is_exported(args.config):
        return infer_exported.run(args)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    model: Any = build_network(args.config, args.cfg_options or {})
    height, width = args.shape or model.cost_shape
    table = read_table(args, model, (height, width))
    networks = {**build_others(args, model), 'ours': [model]}
    madds = {
        name: sum(network.measure_network((height, width)).madds for network in group)
        for name, group in networks.items()
    }
    for network in (network for group in networks.values() for network in group):
        prepare_for_inference(network, args.fuse_conv_bn, args.channels_last).to(device)
    images = torch.rand(args.batch_size, 3, height, width, device=device)
    calls = {name: lambda group=group: infer(group, images) for name, group in networks.items()}
    seconds = interleave(calls, device, args.warmup, args.repeats, args.clock)
    result: dict[str, Any] = {
        **timing.machine(device),
        'tasks': [*model.tasks],
        'batch_size': args.batch_size,
        'shape': [height, width],
        'fuse_conv_bn': args.fuse_conv_bn,
        'channels_last': args.channels_last,
        'clock': args.clock,
    }
    for name in networks:
        summary = timing.summarise(seconds[name])
        result[name] = {
            **summary,
            'images_per_second': args.batch_size / summary['seconds'],
            'peak_bytes': timing.peak_memory(calls[name], device),
            'madds': madds[name],
        }
        if 'plain' in networks:
            result[name]['time_share'] = timing.ratio(seconds[name], seconds['plain'])
            result[name]['madds_share'] = madds[name] / madds['plain']
    if table is not None:
        result['shared']['table_ms'] = table.shared()
        result['ours']['table_ms'] = table.tree(model.backbone.architecture)
    if 'plain' in networks:
        result['ratio'] = {
            'time': timing.ratio(seconds['plain'], seconds['ours']),
            'memory': result['plain']['peak_bytes'] / result['ours']['peak_bytes'],
            'madds': madds['plain'] / madds['ours'],
        }
    return result


def build_others(args: Namespace, model: nn.Module) -> dict[str, list[Any]]:
    """Build what a tree is compared with: single-task networks and the shared one."""
    options = args.cfg_options or {}
    tree = getattr(getattr(model, 'backbone', None), 'architecture', None)
    if not isinstance(tree, BranchedArchitecture) or len(tree.tasks) < 2:
        return {}
    shared = BranchedArchitecture.shared(tree.tasks, tree.encoder, tree.num_layers)
    groups = {'plain': [tree.for_tasks([task]) for task in tree.tasks], 'shared': [shared]}
    networks: dict[str, list[Any]] = {}
    with scratch() as folder:
        path = Path(folder) / 'tree.json'
        for name, trees in groups.items():
            networks[name] = []
            for other in trees:
                other.save(path)
                networks[name].append(build_network(args.config, options, path))
    return networks


def read_table(args: Namespace, model: Any, shape: tuple[int, int]) -> LatencyTable | None:
    """Read the latency table, if there is one, and check that it is of this network."""
    if args.latency is None:
        return None
    tree = getattr(model.backbone, 'architecture', None)
    how = {key: getattr(args, key) for key in ('fuse_conv_bn', 'channels_last', 'clock')}
    return tables.read_table(args, tree, shape, {'backend': 'torch', **how})


@torch.inference_mode()
def infer(networks: list[Any], images: torch.Tensor) -> None:
    """Run networks one after another."""
    for network in networks:
        network.encode_decode(images)


def format_table(result: dict[str, Any]) -> str:
    """Lay the result out for people."""
    height, width = result['shape']
    if 'exported' in result:
        return infer_exported.format_table(result)
    options = {'fuse_conv_bn': ', normalisations folded', 'channels_last': ', channels last'}
    lines = [
        timing.describe_machine(result),
        f'{len(result["tasks"])} tasks, batch {result["batch_size"]}, {height} x {width}, '
        f'{result["clock"]} clock' + ''.join(text for key, text in options.items() if result[key]),
        f'{"":26}{"ms":>10}{"quartiles":>20}{"images/s":>10}{"MB":>10}{"G MAdds":>10}{"share":>8}'
        f'{"time":>8}{"by table, ms":>14}',
    ]
    for name, title in TITLES.items():
        if name not in result:
            continue
        figures = result[name]
        low, high = (1e3 * figures[f'{part}_quartile'] for part in ('lower', 'upper'))
        line = (
            f'{title:26}{1e3 * figures["seconds"]:10.2f}{f"{low:.2f} to {high:.2f}":>20}'
            f'{figures["images_per_second"]:10.1f}{figures["peak_bytes"] / 1e6:10.1f}'
            f'{figures["madds"] / 1e9:10.3f}'
        )
        if 'time_share' in figures:
            line += f'{figures["madds_share"]:8.1%}{figures["time_share"]:8.1%}'
        if 'table_ms' in figures:
            line += f'{figures["table_ms"]:14.2f}'
        lines.append(line)
    if 'ratio' in result:
        ours = result['ours']
        lines.append(
            f'This network takes {ours["time_share"] / ours["madds_share"]:.2f} times the share '
            'in time that it has in multiply-adds.'
        )
    return '\n'.join(lines)
