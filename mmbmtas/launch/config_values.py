"""Refuses meaningless values of a config by name, before anything is built from them."""

import fnmatch
import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmbmtas.errors import InputError


def whole_number(least: int, most: float = math.inf) -> tuple[str, Callable[[Any], bool]]:
    """Return the description of a whole number within bounds, and a test for it."""
    end = '' if most == math.inf else f' to {most}'
    return (
        f'a whole number from {least}{end}',
        lambda value: (
            isinstance(value, numbers.Integral)
            and not isinstance(value, bool)
            and least <= int(value) <= most
        ),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


_NAMES = 'a list of names', _is_names
_TEXT = 'a path or an address', lambda value: isinstance(value, str)
_ARCHITECTURE = 'an architecture or its file', lambda value: isinstance(value, str | Mapping)
_FLAG = 'True or False', lambda value: isinstance(value, bool)
_RATE = 'a number from 0', lambda value: _is_number(value) and value >= 0
_SHARE = 'a number between 0 and 1', lambda value: _is_number(value) and 0 < value < 1
_SHARE_OR_NONE = 'a number from 0 to below 1', lambda value: _is_number(value) and 0 <= value < 1
_SEED = whole_number(0, 2**32 - 1)

_MEANINGS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    'tasks': _NAMES,
    'data_root': _TEXT,
    'work_dir': _TEXT,
    'architecture': _ARCHITECTURE,
    'model.backbone.architecture': _ARCHITECTURE,
    'pretrained': _TEXT,
    'load_from': _TEXT,
    'total_batch_size': whole_number(1),
    'max_iters': whole_number(1),
    'weight_iters': whole_number(1),
    'train_cfg.max_iters': whole_number(1),
    'train_cfg.weight_iters': whole_number(1),
    'train_cfg.warmup_iters': whole_number(0),
    'train_cfg.shared_fraction': _SHARE_OR_NONE,
    'train_cfg.arch_fraction': _SHARE,
    'train_cfg.split_seed': _SEED,
    'train_cfg.batches': whole_number(1),
    'train_cfg.val_interval': whole_number(1),
    'train_cfg.val_begin': whole_number(0),
    'train_cfg.max_epochs': whole_number(1),
    '*_dataloader.batch_size': whole_number(1),
    '*_dataloader.num_workers': whole_number(0),
    '*_dataloader.prefetch_factor': whole_number(1),
    '*_dataloader.dataset.tasks': _NAMES,
    'model.backbone.tasks': _NAMES,
    'randomness.seed': _SEED,
    'randomness.deterministic': _FLAG,
    'randomness.diff_rank_seed': _FLAG,
    'optim_wrapper.clip_grad.max_norm': _RATE,
    'optim_wrapper.*.clip_grad.max_norm': _RATE,
    'optim_wrapper.clip_grad.clip_value': _RATE,
    'optim_wrapper.*.clip_grad.clip_value': _RATE,
    'optim_wrapper.accumulative_counts': whole_number(1),
    'optim_wrapper.*.accumulative_counts': whole_number(1),
    'optim_wrapper.optimizer.lr': _RATE,
    'optim_wrapper.*.optimizer.lr': _RATE,
    'optim_wrapper.optimizer.weight_decay': _RATE,
    'optim_wrapper.*.optimizer.weight_decay': _RATE,
    'default_hooks.logger.interval': whole_number(1),
}


def is_checked(place: str) -> bool:
    """Tell whether :func:`check_values` looks at an entry of a dotted name."""
    names = place.split('.')
    return any(
        len(pattern) == len(names) and all(map(fnmatch.fnmatchcase, names, pattern))
        for pattern in (known.split('.') for known in _MEANINGS)
    )


def check_values(cfg: Mapping[str, Any]) -> None:
    """Refuse meaningless values, such as counts below 1 or of another type.

    Absent entries and None are accepted.

    Raises:
        ValueError: A value has no meaning; the message names its entry and what is expected.
    """
    for pattern, (expected, has_meaning) in _MEANINGS.items():
        for place, value in _entries(cfg, pattern.split('.')):
            if value is not None and not has_meaning(value):
                raise InputError(f'{place}={value!r}: expected {expected}')


def _entries(node: Any, names: list[str], place: str = '') -> Iterator[tuple[str, Any]]:
    """Yield the entries of a config whose dotted name fits a pattern."""
    if not names:
        yield place[1:], node
    elif hasattr(node, 'keys'):
        for key in fnmatch.filter(map(str, node.keys()), names[0]):
            yield from _entries(node.get(key), names[1:], f'{place}.{key}')
