"""Single layers of a supernet: forward and backward pass of all candidates, in several ways.

plain           one candidate after another, summed by their weights
channels_last   the same, of maps whose channels lie together
wide            all as one operation too, as models/backbones/wide.py has it
operations      also with the operators of models/backbones/operations.py: a search's wide form
apart, folded   the other forms of a search on a CPU (models/backbones/forms.py)

Each phase has the gradients that it needs and the normalisations as the search runs them. Blocks
that wide.py does not know have the first two ways alone, and context modules the first four.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from mmseg.models.utils import InvertedResidual
from torch import Tensor, nn
from torch.nn import functional as F

from mmbmtas.cost.timing import interleave
from mmbmtas.errors import InputError
from mmbmtas.models.backbones import apart, wide

from . import timing
from .runners import add_training_arguments, build_runner, check_training_arguments, scratch
from .search import check_search, step

PHASES = ('arch', 'weights')
Mixture = Callable[[Tensor, Tensor], Tensor]
Context = Callable[[], AbstractContextManager]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this part."""
    add_training_arguments(parser)
    timing.add_timing_arguments(parser, repeats=10)
    parser.add_argument('--layers', nargs='+', type=int, help='their indices (default: all)')
    parser.add_argument('--phases', nargs='+', choices=PHASES, default=[*PHASES])


def run(args: Namespace) -> dict[str, Any]:
    """Measure.

    Raises:
        ValueError: The config is not of a search, has no such layer, or a number is out of range.
    """
    check_training_arguments(args)
    timing.check_rounds(args)
    with scratch() as folder:
        runner = build_runner(args, Path(folder) / 'ours', check_search)
        loop: Any = runner.train_loop
        model, batch = loop.model, next(iter(loop.dataloader))
        backbone = model.backbone
        chosen = args.layers or [*range(len(backbone.layers))]
        if not {*chosen} <= {*range(len(backbone.layers))}:
            raise InputError(f'--layers {chosen}: expected some of 0 to {len(backbone.layers) - 1}')
        device = next(model.parameters()).device
        images = model.data_preprocessor(batch, True)['inputs']
        inputs = layer_inputs(backbone, images)
        layers: dict[int, dict[str, Any]] = {
            index: {'name': backbone.encoder.layer_names[index], 'input': [*inputs[index].shape]}
            for index in chosen
        }
        for phase in args.phases:
            step(runner, phase, batch)  # who receives gradients, and how to normalise
            wrapper = runner.optim_wrapper['arch_params' if phase == 'arch' else 'weights']
            context = partial(wrapper.optim_context, runner.model)  # of mixed precision
            for index in chosen:
                layers[index][phase] = time_layer(
                    backbone.layers[index], inputs[index], phase, index == 0, context, args
                )
        return {
            **timing.machine(device),
            'tasks': [*model.tasks],
            'amp': args.amp,
            'clock': args.clock,
            'layers': layers,
        }


@torch.no_grad()
def layer_inputs(backbone: Any, images: Tensor) -> list[Tensor]:
    """Return an input of each layer, as the first candidates make it of images ``(N, 3, H, W)``."""
    inputs = [backbone.stem(images)]
    for candidates in backbone.layers:
        inputs.append(candidates[0](inputs[-1]))
    return inputs[:-1]


def time_layer(
    candidates: nn.ModuleList,
    x: Tensor,
    phase: str,
    is_first: bool,
    context: Context,
    args: Namespace,
) -> dict[str, Any]:
    """Time all ways of a layer in turn.

    In architecture phases, whose weights stay, the input of the first layer needs no gradient.
    """
    weights = torch.rand(len(candidates), device=x.device).softmax(0)
    weights.requires_grad_(phase == 'arch')
    calls = {}
    with context():  # mixed precision does not fold
        found = ways(candidates, x)
    for name, (mixture, memory_format) in found.items():
        own = x.contiguous(memory_format=memory_format).detach()
        own.requires_grad_(phase == 'weights' or not is_first)
        parameters = [*candidates.parameters(), weights, own]
        wanted = [tensor for tensor in parameters if tensor.requires_grad]
        calls[name] = partial(run_both_ways, mixture, own, weights, wanted, context)
    seconds = interleave(calls, x.device, args.warmup, args.repeats, args.clock)
    return {
        name: {
            **timing.summarise(seconds[name]),
            'ratio': timing.ratio(seconds['plain'], seconds[name]),
        }
        for name in calls
    }


def ways(candidates: nn.ModuleList, x: Tensor) -> dict[str, tuple[Mixture, torch.memory_format]]:
    """Return the ways to mix candidates, and how each one's maps lie in memory."""
    one_by_one = partial(mix_one_by_one, candidates)
    found: dict[str, tuple[Mixture, torch.memory_format]] = {
        'plain': (one_by_one, torch.contiguous_format),
        'channels_last': (one_by_one, torch.channels_last),
    }
    if wide.fits(candidates):
        found['wide'] = partial(mix_wide_alone, candidates), torch.channels_last
        found['operations'] = partial(mix_wide, candidates), torch.channels_last
        if type(candidates[0]) is InvertedResidual:
            found['apart'] = partial(mix_apart, candidates), torch.channels_last
            if apart.can_fold(candidates[0], x):
                folded = partial(mix_apart, candidates, folds=True)
                found['folded'] = folded, torch.channels_last
    return found


def run_both_ways(
    mixture: Mixture, x: Tensor, weights: Tensor, wanted: list[Tensor], context: Context
) -> None:
    """Run a layer forwards, and backwards to the gradients that are wanted."""
    with context():
        y = mixture(x, weights)
    torch.autograd.grad(y, wanted, torch.ones_like(y))


def mix_one_by_one(candidates: nn.ModuleList, x: Tensor, weights: Tensor) -> Tensor:
    """Sum the candidates' outputs, one after another."""
    outputs = (weight * op(x) for weight, op in zip(weights, candidates, strict=True))
    return sum(outputs, start=x.new_zeros(()))


def mix_wide(candidates: nn.ModuleList, x: Tensor, weights: Tensor) -> Tensor:
    """Run all candidates as one operation."""
    return wide.mixture([*candidates], [*weights], x)


def mix_apart(candidates: nn.ModuleList, x: Tensor, weights: Tensor, folds: bool = False) -> Tensor:
    """Run the candidates one after another by the operators of ``backbones/apart.py``."""
    return apart.mixture([*candidates], [*weights], x, folds)


def mix_wide_alone(candidates: nn.ModuleList, x: Tensor, weights: Tensor) -> Tensor:
    """Run all candidates as one operation, by torch's own operators."""
    relu6_ = partial(F.relu6, inplace=True)
    with mock.patch.multiple(wide, conv2d=F.conv2d, relu6_=relu6_):
        return mix_wide(candidates, x, weights)


def format_table(result: dict[str, Any]) -> str:
    """Lay the result out for people."""
    names = ('channels_last', 'wide', 'operations', 'apart', 'folded')
    lines = [
        timing.describe_machine(result),
        f'{len(result["tasks"])} tasks, {result["clock"]} clock'
        f'{", mixed precision" if result["amp"] else ""}; how many times as fast as plain',
        f'{"layer":24}{"input":>20}{"phase":>9}{"plain, ms":>11}'
        + ''.join(f'{name:>15}' for name in names),
    ]
    for index, layer in result['layers'].items():
        name, size = f'{index} {layer["name"]}', ' x '.join(map(str, layer['input']))
        for phase in PHASES:
            if phase in layer:
                found = layer[phase]
                lines.append(
                    f'{name:24}{size:>20}{phase:>9}{1e3 * found["plain"]["seconds"]:11.2f}'
                    + ''.join(f'{found[n]["ratio"]:15.2f}' for n in names if n in found)
                )
    return '\n'.join(lines)
