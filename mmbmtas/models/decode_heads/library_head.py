"""Heads of mmseg, and others derived from its base, as decoders of a task."""

import inspect
import traceback
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from mmseg.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmbmtas.cost.madds import forward_cost
from mmbmtas.errors import InputError

from .map_decoder import FIXED, MapDecoder

# What a task's decoder replaces. A head that has its own of these does more than give a map.
_REPLACED = ('loss', 'loss_by_feat', 'predict', 'predict_by_feat', '_stack_batch_gt')
_KINDS = 'heads that give one map, such as mmseg.FCNHead, UPerHead, SegformerHead or FPNHead'


def is_library_head(kind: Any) -> bool:
    """Tell whether a class is a head that is no decoder of a task yet."""
    if not isinstance(kind, type) or issubclass(kind, MapDecoder):
        return False
    return issubclass(kind, BaseDecodeHead) or not hasattr(kind, 'is_labelled')


def build_library_head(
    kind: type, options: Mapping[str, Any], where: str, shapes: Sequence[torch.Size]
) -> MapDecoder:
    """Build a head of mmseg for the features of an encoder.

    Its layers, their names in checkpoints and its defaults are mmseg's. Labels, losses and
    predictions are those of :class:`MapDecoder`.

    Args:
        kind: The head's class.
        options: Its arguments, and ``target_key`` and ``output``. Without ``in_channels`` it gets
            those of the features that ``in_index`` names.
        where: The head's place in the config, for messages.
        shapes: ``(channels, H, W)`` of each of the features.

    Raises:
        InputError: The head gives no single map, or cannot be built for these features; says what
            was wrong and what would be right.
    """
    _require_map(kind, where)
    name = f'{where} ({kind.__name__})'
    for key in FIXED.keys() & options.keys():
        raise InputError(f'{key}={options[key]!r} of {name}: {FIXED[key]}')
    if options.get('output', 'classes') != 'classes' and options.get('loss_decode') is None:
        raise InputError(
            f'{name} has no loss_decode: expected one for output={options["output"]!r}, such as '
            'BalancedBCELoss (probability), NormalsL1Loss (normals) or DepthL1Loss (value)'
        )
    options = {**options, 'in_channels': _in_channels(options, name, shapes)}
    if 'c1_in_channels' in inspect.signature(kind).parameters:  # it reads the first besides
        options = {'c1_in_channels': shapes[0][0], **options}
    hint = (
        f'. {_list(shapes)}; several are read with a list as in_index, for which FCNHead, '
        'LRASPPHead and others need input_transform'
    )
    try:
        head = as_decoder(kind)(**options)
        maps = _run_dry(head, shapes)
    except InputError as error:
        raise InputError(f'{where}: {error}') from error
    except Exception as error:  # whatever a library's head checks, or runs into
        raise InputError(f'{name} cannot be built and run: {_describe(error)}{hint}') from error
    if not isinstance(maps, Tensor) or maps.dim() != 4 or maps.shape[1] != head.num_classes:
        found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise InputError(
            f'{name} gives {found} for one image, expected one map with {head.num_classes} '
            f'channels (num_classes): {_KINDS}'
        )
    return head


def check_runs(head: nn.Module, where: str, shapes: Sequence[torch.Size], images: str) -> None:
    """Refuse features of a size for which a head cannot compute, as one with a fixed pooling.

    Args:
        head: A head that :func:`build_library_head` has built.
        where: Its place in the config, for messages.
        shapes: ``(channels, H, W)`` of each of the features.
        images: What the features are of, with the size.

    Raises:
        InputError: The head fails.
    """
    try:
        _run_dry(head, shapes)
    except Exception as error:  # whatever a library's head checks, or runs into
        raise InputError(
            f'{where} ({type(head).__name__}) cannot run on {images}: {_describe(error)}. '
            f'{_list(shapes)}. Larger images (crop_size, PadToSize), or another head, would do'
        ) from error


def _run_dry(head: nn.Module, shapes: Sequence[torch.Size]) -> Any:
    """Run a head without computing anything."""
    features = tuple(torch.empty(1, *shape, device='meta') for shape in shapes)
    with warnings.catch_warnings():  # of what is not counted, when the cost is measured
        warnings.simplefilter('ignore', RuntimeWarning)
        return forward_cost(head, features)[0]


def _list(shapes: Sequence[torch.Size]) -> str:
    given = ', '.join(f'{index}: {tuple(shape)}' for index, shape in enumerate(shapes))
    return f'The features are {given} (channels, H, W)'


@cache
def as_decoder(kind: type[BaseDecodeHead]) -> type[MapDecoder]:
    """Derive the decoder of a task from a head; checkpoints name its weights as the head does."""
    return type(
        kind.__name__,
        (MapDecoder, kind),
        {'__module__': kind.__module__, '__doc__': kind.__doc__, 'reads_taps': True},
    )


def _require_map(kind: type, where: str) -> None:
    """Refuse a class whose heads give something else than a map of their features alone."""
    if not issubclass(kind, BaseDecodeHead):
        known = issubclass(kind, nn.Module) and 'mask' in kind.__name__.lower()
        what = 'classifies masks' if known else 'is no decoder of maps'
    elif issubclass(kind, BaseCascadeDecodeHead):
        what = "refines another head's map"
    elif own := [
        name for name in _REPLACED if getattr(kind, name) != getattr(BaseDecodeHead, name)
    ]:
        what = f'has losses or predictions of its own ({", ".join(own)})'
    else:
        return
    raise InputError(
        f'{where}: {kind.__name__} {what}, so it cannot serve a task: expected a decoder of '
        f'mmbmtas, or one of the {_KINDS}'
    )


def _in_channels(
    options: Mapping[str, Any], name: str, shapes: Sequence[torch.Size]
) -> int | list[int]:
    """Return the channels of the features that ``in_index`` names, as ``in_channels`` has them."""
    index = options.get('in_index', -1)
    several = isinstance(index, Sequence) and not isinstance(index, str)
    count = len(shapes)
    indices = [*index] if several else [index]
    if not indices or not all(type(i) is int and -count <= i < count for i in indices):
        raise InputError(
            f'in_index {index!r} of {name}: expected numbers from 0 to {count - 1}, as the encoder '
            f'gives {count} features of {[shape[0] for shape in shapes]} channels'
        )
    found = [shapes[i][0] for i in indices]
    given = options.get('in_channels')
    expected = found if several else found[0]
    if given is not None and (list(given) if isinstance(given, Sequence) else given) != expected:
        raise InputError(
            f'in_channels {given!r} of {name}: the features of in_index={index!r} have {expected}; '
            'leave in_channels out'
        )
    return expected


def _describe(error: Exception) -> str:
    """Say what a library refused; of an assertion without a text, the line that asserts."""
    if str(error):
        return f'{error}'
    line = traceback.extract_tb(error.__traceback__)[-1].line
    return f'{type(error).__name__}: {line}'
