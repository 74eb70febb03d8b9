"""Mistakes of a user that libraries report with exceptions of every type.

The frames that an exception came through tell them from faults of the code.
"""

import difflib
import inspect
import re
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import build_from_cfg
from mmengine.runner import CheckpointLoader, Runner

_LIBRARIES = ('torch', 'numpy', 'mmengine', 'mmcv', 'mmseg', 'mmpretrain')
_COMPLAINTS = (TypeError, ValueError, KeyError, AssertionError, RuntimeError)


def mistake_seen_by_library(error: Exception) -> str | None:
    """Return what a library found wrong with a config or a checkpoint, None for other errors."""
    frames = _frames(error)
    if not frames:
        return None
    for look in (_checkpoint, _entry, _optimizer, _object_of_config, _runner, _batch):
        message = look(error, frames)
        if message is not None:
            return message
    return None


def _checkpoint(error: Exception, frames: Sequence[FrameType]) -> str | None:
    """Name a checkpoint that cannot be read or resumed from."""
    loads = CheckpointLoader.load_checkpoint.__func__.__code__
    for index, frame in enumerate(frames):
        if frame.f_code is loads:
            return f'{frame.f_locals["filename"]} cannot be read: {_told(error)}'
        if frame.f_code is Runner.resume.__code__ and all(map(_is_in_library, frames[index:])):
            return f'{frame.f_locals["filename"]} cannot be resumed from: {_told(error)}'
    return None


def _entry(error: Exception, frames: Sequence[FrameType]) -> str | None:
    """Name the entry that something reads and the config does not have."""
    owner = frames[-1].f_locals.get('self')
    if isinstance(error, AttributeError | KeyError) and isinstance(owner, Config | ConfigDict):
        name = frames[-1].f_locals.get('name', frames[-1].f_locals.get('key'))
        return f'the config lacks an entry {name!r}'
    return None


def _object_of_config(error: Exception, frames: Sequence[FrameType]) -> str | None:
    """Name the type or the arguments of an object that cannot be built from its config."""
    builds = [frame for frame in frames if frame.f_code is build_from_cfg.__code__]
    if not builds or not isinstance(error, _COMPLAINTS):
        return None
    here, told = builds[-1].f_locals, _first_argument(error)
    is_direct = frames[-1] is builds[-1]
    if is_direct and isinstance(error, KeyError):
        kind = here.get('obj_type')
        if kind is None:
            return f'a part of the config has no type: {dict(here["cfg"])}'
        near = difflib.get_close_matches(str(kind), _registered(here['registry']), n=1)
        return f'{told.partition(". ")[0]}' + (f': did you mean {near[0]!r}?' if near else '')
    unknown = re.search(r"unexpected keyword argument '(\w+)'", told)
    if isinstance(error, TypeError) and unknown and unknown[1] in here.get('args', {}):
        return f'{told}; it takes {", ".join(_parameters(here["obj_cls"]))}'
    if is_direct:
        return told
    if _is_refused_by_constructor(here.get('obj_cls'), frames[-1]):
        plain = (str, int, float, list, tuple, dict, type(None))
        given = ', '.join(
            f'{name}={value!r:.60}'
            for name, value in here['cfg'].items()
            if isinstance(value, plain) and name != 'params'
        )
        return f'the config dict({given}) cannot be built: {_told(error)}'
    return None


def _is_refused_by_constructor(kind: Any, last: FrameType) -> bool:
    """Tell whether a library refused the arguments of an object of its own, or of ours."""
    module = getattr(kind, '__module__', '')
    if module.partition('.')[0] == 'mmbmtas':  # its parts are torch's; other calls may be at fault
        return last.f_code.co_name == '__init__' and _module(last).startswith(('torch.', 'mmcv.'))
    return _is_of_library(module) and _is_in_library(last)


def _optimizer(error: Exception, frames: Sequence[FrameType]) -> str | None:
    """Name the type of an optimiser that mmengine does not know."""
    for frame in frames:
        here = frame.f_locals
        if _is_in_library(frame) and here.get('optimizer_cls', here) is None:
            return f'{here["self"].optimizer_cfg["type"]} is not in the registry of optimizers'
    return None


def _runner(error: Exception, frames: Sequence[FrameType]) -> str | None:
    """Repeat what mmengine's runner says of entries that it refuses."""
    if not isinstance(error, _COMPLAINTS) or not _is_in_library(frames[-1]):
        return None
    told = _first_argument(error)
    if 'unexpected keyword argument' in told and 'mmengine' in _module(frames[-1]):
        return told
    own = [frame for frame in frames if frame.f_globals is Runner.__init__.__globals__]
    builds = ('__init__', 'from_cfg', 'set', 'build_', 'register_', '_check', 'scale_lr')
    # Whatever the runner calls that is not of libraries may have faults of its own.
    if own and own[-1].f_code.co_name.startswith(builds):
        inner = frames[frames.index(own[-1]) :]
        if all(map(_is_in_library, inner)):
            return f'mmengine cannot make a runner of the config: {_told(error)}'
    return None


def _batch(error: Exception, frames: Sequence[FrameType]) -> str | None:
    """Say what to do about a batch of one image that a normalisation cannot work with."""
    last = frames[-1]
    if (last.f_code.co_name, _module(last)) != ('_verify_batch_size', 'torch.nn.functional'):
        return None
    return (
        f'{error}: one image cannot be normalised, give each rank at least 2 (total_batch_size), '
        'of several domains 2 of each'
    )


def _told(error: Exception) -> str:
    """Return an error's type and message, of a bare assertion what it asserts."""
    told = _first_argument(error)
    if not told:
        told = traceback.extract_tb(error.__traceback__)[-1].line or ''
    return f'{type(error).__name__}: {told}'


def _first_argument(error: Exception) -> str:
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def _frames(error: Exception) -> list[FrameType]:
    """List the frames that an exception came through, the innermost last."""
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def _module(frame: FrameType) -> str:
    return frame.f_globals.get('__name__', '')


def _is_in_library(frame: FrameType) -> bool:
    module = _module(frame)
    return _is_of_library(module) or module.partition('.')[0] in sys.stdlib_module_names


def _is_of_library(module: str) -> bool:
    return module.partition('.')[0] in _LIBRARIES


def _registered(registry: Any) -> list[str]:
    """List the names that a registry and those above it know."""
    names = []
    while registry is not None:
        names += registry.module_dict
        registry = registry.parent
    return names


def _parameters(kind: Any) -> list[str]:
    """List the arguments that an object of a class or a function's call takes by name.

    A class that hands all of its arguments to a base takes those of the base.
    """
    for owner in getattr(kind, '__mro__', [kind]):
        names = [
            name
            for name, parameter in inspect.signature(owner).parameters.items()
            if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
        if names:
            return names
    return []
