"""Checkpoints of plain values, which can be read back without unpickling other objects."""

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy
import torch
from mmengine.logging import HistoryBuffer

_HISTORY = {'log_history', 'count_history', 'max_length'}


def to_plain(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Turn the content of a checkpoint into tensors, numbers, texts, arrays, lists, tuples, dicts.

    A ``HistoryBuffer`` becomes a dict, see :func:`restore_histories`. Numbers of numpy become
    numbers of Python. Values without a plain form are left out. The functions of schedules are left
    out too, because the config provides them again.

    Returns:
        The checkpoint, and the place and type of each value that was left out.
    """
    left_out: list[str] = []
    plain = {key: _plain(value, str(key), left_out) for key, value in checkpoint.items()}
    return {key: value for key, value in plain.items() if value is not _NOTHING}, left_out


def restore_histories(checkpoint: Mapping[str, Any]) -> None:
    """Turn the histories of the log's scalars back into mmengine's ``HistoryBuffer``."""
    hub = checkpoint.get('message_hub')
    scalars = hub.get('log_scalars') if isinstance(hub, Mapping) else None
    if not isinstance(scalars, dict):
        return
    for name, value in scalars.items():
        if isinstance(value, Mapping) and set(value) == _HISTORY:
            log, count = value['log_history'], value['count_history']
            # A resumed run on a GPU has moved all tensors there.
            scalars[name] = HistoryBuffer(
                log.cpu().numpy(), count.cpu().numpy(), value['max_length']
            )


_NOTHING = object()
_SCALARS: dict[type, Callable[[Any], Any]] = {
    bool: bool,
    int: int,
    float: float,
    str: ''.join,
    bytes: bytes,
}


def _plain(value: Any, where: str, left_out: list[str]) -> Any:
    """Return the plain form of a value (itself if it is plain), or ``_NOTHING``."""
    if value is None or isinstance(value, torch.Tensor | torch.dtype):
        return value
    if isinstance(value, numpy.generic) and not isinstance(value.item(), numpy.generic):
        value = value.item()
    for scalar, convert in _SCALARS.items():
        if isinstance(value, scalar):
            return value if type(value) is scalar else convert(value)
    if isinstance(value, numpy.ndarray) and value.dtype.kind in 'biufUS':
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, HistoryBuffer):
        log, count = value.data
        histories = {'log_history': torch.from_numpy(log), 'count_history': torch.from_numpy(count)}
        return {**histories, 'max_length': value.max_length}
    if isinstance(value, Mapping):
        return _plain_mapping(value, where, left_out)
    if isinstance(value, list | tuple):
        items = [_plain(item, f'{where}[{i}]', left_out) for i, item in enumerate(value)]
        items = [None if item is _NOTHING else item for item in items]
        kind: Any = list if isinstance(value, list) else tuple
        same = all(one is other for one, other in zip(items, value, strict=True))
        return value if same and type(value) is kind else kind(items)
    if not (callable(value) and where.startswith('param_schedulers')):
        left_out.append(f'{where} ({type(value).__name__})')
    return _NOTHING


def _plain_mapping(value: Mapping[Any, Any], where: str, left_out: list[str]) -> Any:
    """Do the same for a mapping; a state dict stays an ``OrderedDict`` with ``_metadata``."""
    plain = {key: _plain(item, f'{where}.{key}', left_out) for key, item in value.items()}
    keys = {key: _plain(key, f'{where}, its key {key}', left_out) for key in value}
    changed = any(plain[key] is not value[key] or keys[key] is not key for key in value)
    if not changed and type(value) in (dict, OrderedDict):
        return value
    kind: Any = OrderedDict if isinstance(value, OrderedDict) else dict
    entries = kind(
        (keys[key], item)
        for key, item in plain.items()
        if item is not _NOTHING and keys[key] is not _NOTHING
    )
    if isinstance(entries, OrderedDict) and hasattr(value, '_metadata'):
        entries._metadata = value._metadata  # type: ignore[attr-defined]
    return entries
