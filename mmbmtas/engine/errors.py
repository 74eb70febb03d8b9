"""Errors that the user can mend, told in one line."""

import difflib
import inspect
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine.registry import build_from_cfg

from mmbmtas.writing import NO_SPACE


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End a command line with ``error: ...`` and status 1 where the user's input was wrong.

    That is what ``ValueError``, missing files, full disks, dead workers (``ChildProcessError``) and
    diverged losses (``FloatingPointError``) mean here, in a data loader's worker too, and types and
    arguments of a config that do not exist. Other exceptions come through as they are; with
    ``MMBMTAS_TRACEBACK=1`` in the environment all do.
    """
    try:
        yield
    except Exception as error:
        message = _of_user(error)
        if message is None or os.environ.get('MMBMTAS_TRACEBACK') == '1':
            raise
        print(f'error: {" ".join(message.split())}', file=sys.stderr)
        raise SystemExit(1) from None


def _of_user(error: Exception) -> str | None:
    """Return what the user can mend, None where that is unlikely."""
    if isinstance(error, KeyError | TypeError):
        return _mistake_in_config(error)
    is_of_system = isinstance(error, OSError) and not _is_of_user(error)
    if is_of_system or not isinstance(error, ValueError | FloatingPointError | OSError):
        return None
    message = _without_traceback(str(error), type(error))
    if message.startswith('Expected more than 1 value per channel'):
        message += ': one image cannot be normalised, give each rank at least 2 (total_batch_size)'
    return message


def _mistake_in_config(error: KeyError | TypeError) -> str | None:
    """Return which type or argument in a config mmengine could not build an object of."""
    frames = [frame for frame in _frames(error) if frame.f_code is build_from_cfg.__code__]
    told = str(error.args[0]) if error.args else ''
    if not frames:  # arguments that the runner itself hands on, such as those of randomness
        is_mmengine = 'mmengine' in Path(_frames(error)[-1].f_code.co_filename).parts
        return told if is_mmengine and 'unexpected keyword argument' in told else None
    last = frames[-1].f_locals
    is_direct = error.__traceback__ is not None and _frames(error)[-1] is frames[-1]
    if isinstance(error, KeyError):
        kind = last.get('obj_type')
        if not is_direct:
            return None
        if kind is None:
            return f'a part of the config has no type: {dict(last["cfg"])}'
        near = difflib.get_close_matches(str(kind), _registered(last['registry']), n=1)
        return f'{told.partition(". ")[0]}' + (f': did you mean {near[0]!r}?' if near else '')
    unknown = re.search(r"unexpected keyword argument '(\w+)'", told)
    if unknown and unknown[1] in last.get('args', {}):
        return f'{told}; it takes {", ".join(_parameters(last["obj_cls"]))}'
    return told if is_direct else None


def _frames(error: Exception) -> list[FrameType]:
    """List the frames that an exception came through, the innermost last."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    return frames


def _registered(registry: Any) -> list[str]:
    """List the names that a registry and those above it know."""
    names = []
    while registry is not None:
        names += registry.module_dict
        registry = registry.parent
    return names


def _parameters(kind: Any) -> list[str]:
    """List the arguments that an object of a class or a function's call takes by name."""
    return [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]


def _is_of_user(error: OSError) -> bool:
    """Tell whether files are missing, a disk is full or a process has died, not something rarer."""
    kinds = (FileNotFoundError, FileExistsError, NotADirectoryError, ChildProcessError)
    return isinstance(error, kinds) or error.errno in NO_SPACE


def _without_traceback(message: str, kind: type[Exception]) -> str:
    """Return what a worker raised: torch puts its traceback in front, and its type."""
    if 'Traceback (most recent call last)' not in message:
        return message
    return re.split(rf'\n[\w.]*{kind.__name__}: ', message)[-1]
