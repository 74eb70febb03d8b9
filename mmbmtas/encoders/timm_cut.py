"""Cuts a network of timm into a stem and a sequence of blocks, by watching it run."""

import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.errors import InputError
from mmbmtas.extras import import_extra

_SHORTCUT = re.compile('downsample|shortcut')
_NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)
_SHAPE = (64, 96)  # of the image that is sent through; no square, so that layouts differ
_STEMS = r'^(stem|patch_embed|conv_stem)\b'  # of networks that do not name theirs
_FAMILIES = 'resnet18, regnetx_002, mobilenetv3_small_050, efficientnet_b0 or convnext_atto'


@dataclass(frozen=True)
class CutNetwork:
    """A network of timm and its parts.

    Attributes:
        model: The network, with random weights; nobody changes it.
        stem: Names of the modules that the stem runs, in order.
        layers: The same for each layer; the last module is the block.
        norms: For each layer the name, within the block, of the normalisation that ends it.
        shapes: ``(channels, H, W)`` of the outputs of stem and layers.
        strides: Strides of the stem and of each layer.
    """

    model: nn.Module
    stem: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...]
    norms: tuple[str | None, ...]
    shapes: tuple[torch.Size, ...]
    strides: tuple[int, ...]

    def copy_of(self, names: Sequence[str]) -> list[nn.Module]:
        """Return copies of some modules."""
        return [deepcopy(self.model.get_submodule(name)) for name in names]


@cache
def cut_network(name: str, output_stride: int) -> CutNetwork:
    """Cut a network of timm; it is built without its weights, so nothing is downloaded.

    Args:
        name: timm's name of it.
        output_stride: The largest stride, which timm keeps by dilation if it is not 32.

    Raises:
        InputError: timm is missing, has no such network or not with this stride, or the network is
            no sequence of blocks that give maps.
    """
    model = _build(name, output_stride)
    calls = _watch(model, name)
    children = [call for call in calls if '.' not in call.name and call.name]
    stem, layers = _group(model, children, calls)
    where = f'name {name!r} of TimmEncoder'
    if not stem or not layers:
        raise InputError(f'{where}: found no stem and stages of blocks; try {_FAMILIES}')
    by_name = {call.name: call for call in calls}
    ends = [stem[-1], *(names[-1] for names in layers)]
    shapes = tuple(by_name[end].output.shape[1:] for end in ends)
    if not all(len(s) == 3 and s[1] * _SHAPE[1] == s[2] * _SHAPE[0] for s in shapes):
        raise InputError(
            f'{where}: its blocks give {tuple(shapes[-1])} for an image of {_SHAPE}, expected maps '
            f'(channels, H, W); try {_FAMILIES}'
        )
    heights = [_SHAPE[0], *(shape[1] for shape in shapes)]
    network = CutNetwork(
        model,
        stem,
        layers,
        tuple(_norm_of(model, calls, by_name[names[-1]]) for names in layers),
        shapes,
        tuple(before // after for before, after in itertools.pairwise(heights)),
    )
    _verify(network, by_name[ends[-1]].output, where)
    return network


def _build(name: str, output_stride: int) -> nn.Module:
    timm = import_extra('timm', 'TimmEncoder needs the package timm', 'timm')
    known = isinstance(name, str) and ':' not in name and timm.is_model(name)
    if not known:
        close = difflib.get_close_matches(str(name), timm.list_models(), n=5, cutoff=0.5)
        raise InputError(
            f'name {name!r} of TimmEncoder: timm {timm.__version__} has no such network; expected '
            f'one of timm.list_models(), such as {", ".join(close) or _FAMILIES}'
        )
    options = {} if output_stride == 32 else {'output_stride': output_stride}
    with torch.device('cpu'), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return timm.create_model(name, pretrained=False, **options).eval()
        except (TypeError, NotImplementedError, AssertionError, RuntimeError, KeyError) as error:
            raise InputError(
                f'name {name!r} of TimmEncoder with output_stride={output_stride}: timm cannot '
                f'build it ({error}); expected 32, unless the network dilates'
            ) from error


def _image() -> Tensor:
    return torch.linspace(-9, 9, 3 * _SHAPE[0] * _SHAPE[1]).sin().reshape(1, 3, *_SHAPE)


@dataclass
class _Call:
    """What a module was given and gave; a tensor is kept, so that no other has its place."""

    name: str
    given: Any
    output: Any


def _watch(model: nn.Module, name: str) -> list[_Call]:
    """Run a network up to its classifier; return the calls of its modules, as they end."""
    calls: list[_Call] = []
    hooks = [
        part.register_forward_hook(
            lambda _, args, output, key=key: calls.append(_Call(key, args[0], output))
        )
        for key, part in model.named_modules()
        if key
    ]
    run: Any = model
    try:
        with torch.device('cpu'), torch.no_grad():
            run.forward_features(_image())
    except (AttributeError, AssertionError, RuntimeError, ValueError, IndexError) as error:
        raise InputError(
            f'name {name!r} of TimmEncoder: it does not run on an image of {_SHAPE} ({error}); '
            f'try {_FAMILIES}'
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _group(
    model: nn.Module, children: Sequence[_Call], calls: Sequence[_Call]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return the modules of the stem, and of each layer."""
    matcher = getattr(model, 'group_matcher', None)
    pattern = matcher(coarse=False)['stem'] if matcher else _STEMS
    stem: list[str] = []
    layers: list[tuple[str, ...]] = []
    pending: list[str] = []
    for child in children:
        part = model.get_submodule(child.name)
        names = [f'{child.name}.{key}' for key, _ in part.named_parameters()] or [child.name]
        begins = not layers and not pending
        if begins and (any(re.match(pattern, key) for key in names) or not [*part.parameters()]):
            stem.append(child.name)
            continue
        for leaf in _leaves(model, child, calls):
            pending.append(leaf)
            if '.' in leaf and leaf[-1].isdigit():
                layers.append(tuple(pending))
                pending = []
    return tuple(stem), tuple(layers)  # what is left pending belongs to a classifier


def _leaves(model: nn.Module, call: _Call, calls: Sequence[_Call]) -> Iterator[str]:
    """Yield the blocks, and what stands between them, of a sequence of blocks in stages."""
    part = model.get_submodule(call.name)
    inner = [
        own
        for own in calls
        if own.name.startswith(f'{call.name}.') and '.' not in own.name[len(call.name) + 1 :]
    ]
    if isinstance(part, nn.ModuleList) or (_holds_blocks(part, inner) and _is_chain(call, inner)):
        for own in inner:
            yield from _leaves(model, own, calls)
    else:
        yield call.name


def _holds_blocks(part: nn.Module, inner: Sequence[_Call]) -> bool:
    """Tell whether a module is a stage by its children: numbered, and with parts of their own."""
    names = [own.name.rpartition('.')[2] for own in inner]
    if 'blocks' in names:
        return True
    numbered = bool(names) and all(name[-1].isdigit() for name in names)
    is_list = (
        isinstance(part, nn.Sequential) or len({name.rstrip('0123456789') for name in names}) == 1
    )
    return numbered and is_list and all([*child.children()] for child in part.children())


def _is_chain(call: _Call, inner: Sequence[_Call]) -> bool:
    """Tell whether each child reads what the one before gave, and nothing else happens."""
    given = [own.given for own in inner]
    outputs = [own.output for own in inner]
    return all(a is b for a, b in zip([*given, call.output], [call.given, *outputs], strict=True))


def _norm_of(model: nn.Module, calls: Sequence[_Call], call_of_block: _Call) -> str | None:
    """Return the name of the normalisation after which only a shortcut has parameters, if any."""
    block, last = call_of_block.name, None
    for call in calls:
        inside = call.name == block or call.name.startswith(f'{block}.')
        is_main = inside and not _SHORTCUT.search(call.name[len(block) :])
        if is_main and [*model.get_submodule(call.name).parameters(recurse=False)]:
            last = call.name
    if last is None or last == block or not isinstance(model.get_submodule(last), _NORMS):
        return None
    name = last[len(block) + 1 :]
    return name if _passes_all(model.get_submodule(block), name, call_of_block.given) else None


def _passes_all(block: nn.Module, name: str, x: Tensor) -> bool:
    """Tell whether all but a shortcut passes a normalisation: if that gives 0, nothing counts."""
    block = deepcopy(block)
    with torch.device('cpu'), torch.no_grad():
        for parameter in block.get_submodule(name).parameters():
            nn.init.zeros_(parameter)
        found = block(x.clone())
        for key, parameter in block.named_parameters():
            if not _SHORTCUT.search(key):
                parameter.mul_(2)
        return torch.equal(found, block(x.clone()))


def _verify(network: CutNetwork, expected: Tensor, where: str) -> None:
    """Refuse a cut whose parts, one after another, do not compute what the network does."""
    names = [*network.stem, *(name for layer in network.layers for name in layer)]
    with torch.device('cpu'), torch.no_grad():
        try:
            found = nn.Sequential(*network.copy_of(names))(_image())
        except (RuntimeError, TypeError, AttributeError):
            found = torch.empty(0)
    if not torch.equal(found, expected):
        raise InputError(
            f'{where}: its blocks, one after another, do not give what the network does, so it '
            f'cannot be cut between them; try {_FAMILIES}'
        )
