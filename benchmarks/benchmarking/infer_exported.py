"""An exported network's inference in ONNX Runtime, on the CPU."""

from argparse import Namespace
from typing import Any

import numpy as np
import torch

from mmbmtas.cost.timing import interleave
from mmbmtas.deploy import OnnxNetwork
from mmbmtas.deploy.sessions import runtime_place
from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture

from . import tables, timing

CPU = torch.device('cpu')


def run(args: Namespace) -> dict[str, Any]:
    """Measure the network in the place of the config.

    Raises:
        InputError: An option has no effect on it; images of the size cannot be run, or the latency
            table is of another network or was measured in another way.
    """
    for name in ('fuse_conv_bn', 'channels_last', 'cfg_options'):
        if getattr(args, name):
            raise InputError(
                f'--{name.replace("_", "-")} has no effect on {args.config}, an exported network: '
                'leave it out'
            )
    network = OnnxNetwork(args.config, 'cpu')
    description = network.description
    madds = description['madds']
    height, width = shape = _shape(args, description)
    table = None
    if args.latency is not None:
        how = {
            'backend': 'onnxruntime',
            'precision': description['precision'],
            'clock': args.clock,
        }
        table = tables.read_table(args, _tree(description), shape, how)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (args.batch_size, 3, height, width), dtype=np.uint8)
    calls = {'ours': lambda: network.run(images)}
    seconds = interleave(calls, CPU, args.warmup, args.repeats, args.clock)
    summary = timing.summarise(seconds['ours'])
    ours = {**summary, 'images_per_second': args.batch_size / summary['seconds']}
    if madds is not None and tuple(madds['shape']) == shape:
        ours['madds'] = madds['network']
    if table is not None:
        ours['table_ms'] = table.tree(_tree(description))
    return {
        **timing.machine(CPU),
        'tasks': [*network.tasks],
        'batch_size': args.batch_size,
        'shape': [height, width],
        'clock': args.clock,
        'exported': runtime_place(),
        'precision': description['precision'],
        'ours': ours,
    }


def format_table(result: dict[str, Any]) -> str:
    """Lay the result out for people."""
    height, width = result['shape']
    ours = result['ours']
    low, median, high = (1e3 * ours[key] for key in ('lower_quartile', 'seconds', 'upper_quartile'))
    lines = [
        f'{result["exported"]} ({result["processor"]})',
        f'{len(result["tasks"])} tasks, {result["precision"]}, batch {result["batch_size"]}, '
        f'{height} x {width}, {result["clock"]} clock',
        f'{median:.2f} ms (quartiles {low:.2f} to {high:.2f}), {ours["images_per_second"]:.1f} '
        'images/s',
    ]
    if 'madds' in ours:
        lines.append(f'{ours["madds"] / 1e9:.3f} billion multiply-adds')
    if 'table_ms' in ours:
        lines.append(f'{ours["table_ms"]:.2f} ms by the table')
    return '\n'.join(lines)


def _shape(args: Namespace, description: dict[str, Any]) -> tuple[int, int]:
    """Return the size of the images: as asked, else as exported, else where costs are stated."""
    height, width = description['input']['shape'][2:]
    if args.shape:
        height, width = args.shape
    elif isinstance(height, str):
        if description['madds'] is None:
            raise InputError(f'{args.config} takes images of any size: say which, by --shape')
        height, width = description['madds']['shape']
    return height, width


def _tree(description: dict[str, Any]) -> Any:
    """Return the tree, None of other networks."""
    tree = description['architecture']
    if tree is None or description['backbone'] != 'BranchedNetwork':
        return None
    return BranchedArchitecture.from_dict(tree)
