"""Unpickles only the few kinds of objects that checkpoints consist of."""

import io
import pickle
import types
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

import numpy
import torch
from packaging.version import Version


def load_restricted(file: Path | io.BytesIO, map_location: Any) -> Any:
    """Load weights and the objects of ``_allowed_globals`` with any release of torch.

    Raises:
        Exception: The file is damaged or names other objects; many kinds are possible.
    """
    allowed = _allowed_globals()
    if Version(torch.__version__).release >= (2, 6):
        named = [(item, name) for name, item in allowed.items()]
        with torch.serialization.safe_globals([*named, *_dtype_classes()]):
            return torch.load(file, map_location=map_location, weights_only=True)
    # The safe loader of older releases takes no list of further objects, and had security holes.
    restricted: Any = _restricted_pickle(allowed)
    return torch.load(file, map_location=map_location, weights_only=False, pickle_module=restricted)


def _allowed_globals() -> dict[str, Any]:
    """Map the names of objects, other than weights, in mmengine's checkpoints to the objects."""
    from mmengine.logging import HistoryBuffer

    reconstruct = numpy.zeros(0).__reduce__()[0]
    scalar = numpy.float64(0).__reduce__()[0]
    allowed = {
        'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
        'builtins.getattr': _history_statistic,
        '__builtin__.getattr': _history_statistic,
        '_codecs.encode': _bytes_of_text,
        'numpy.ndarray': numpy.ndarray,
        'numpy.dtype': numpy.dtype,
    }
    for package in ('numpy.core', 'numpy._core'):  # the names of numpy 1 and numpy 2
        allowed[f'{package}.multiarray._reconstruct'] = reconstruct
        allowed[f'{package}.multiarray.scalar'] = scalar
    return allowed


def _history_statistic(owner: Any, name: str) -> Any:
    """Replace ``getattr``, which a HistoryBuffer needs only for its four statistics."""
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'getattr({owner!r}, {name!r}) is not allowed')


def _bytes_of_text(text: str, encoding: str) -> bytes:
    """Replace ``_codecs.encode``, by which pickles of protocol 2 write bytes as text."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'encoding as {encoding!r} is not allowed')
    return text.encode('latin1')


def _dtype_classes() -> list[type]:
    """List the classes of numpy's plain dtypes: numbers, truth values and strings, no objects."""
    codes = numpy.typecodes['AllInteger'] + numpy.typecodes['AllFloat'] + '?US'
    return list({type(numpy.dtype(code)) for code in codes})


def _restricted_pickle(allowed: dict[str, Any]) -> types.ModuleType:
    """Make a ``pickle`` for ``torch.load`` that knows only weights and the allowed objects.

    Like the safe loader of later releases of torch, it finds objects only in a table, calls only
    objects of this table, and sets states only of instances of its classes.
    """
    from mmengine.logging import HistoryBuffer
    from torch._weights_only_unpickler import _get_allowed_globals

    known = {**_get_allowed_globals(), **allowed}
    callables = [*known.values()]
    stateful = {
        *(torch.Tensor, torch.nn.Parameter, OrderedDict, HistoryBuffer, numpy.ndarray),
        *_dtype_classes(),
    }

    plain: Any = getattr(pickle, '_Unpickler')  # noqa: B009  (in Python, not in typeshed)

    class Unpickler(plain):
        dispatch: ClassVar[dict[int, Any]] = dict(plain.dispatch)

        def find_class(self, module: str, name: str) -> Any:
            try:
                return known[f'{module}.{name}']
            except KeyError:
                raise pickle.UnpicklingError(f'{module}.{name} is not allowed') from None

        def load_reduce(self) -> None:
            _require(self.stack[-2], callables)
            super().load_reduce()

        def load_newobj(self) -> None:
            _require(self.stack[-2], callables)
            super().load_newobj()

        def load_build(self) -> None:
            _require(type(self.stack[-2]), stateful)
            super().load_build()

        dispatch[pickle.REDUCE[0]] = load_reduce
        dispatch[pickle.NEWOBJ[0]] = load_newobj
        dispatch[pickle.BUILD[0]] = load_build
        for opcode in ('INST', 'OBJ', 'NEWOBJ_EX', 'EXT1', 'EXT2', 'EXT4'):
            del dispatch[getattr(pickle, opcode)[0]]

    restricted = types.ModuleType('restricted_pickle')
    restricted.Unpickler = Unpickler  # type: ignore[attr-defined]
    restricted.load = lambda file, **options: Unpickler(file, **options).load()  # type: ignore[attr-defined]
    return restricted


def _require(item: Any, expected: Collection[Any]) -> None:
    """Refuse an object that is not one of the expected ones."""
    if not any(item is one for one in expected):
        raise pickle.UnpicklingError(f'{item!r} is not allowed here')
