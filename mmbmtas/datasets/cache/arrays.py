"""Compact encodings of arrays that are quick to read and exact to the last bit."""

import zlib
from typing import Any

import cv2
import numpy as np

_LEVELS = 256
_DTYPES = ('|u1', '<u2', '<f4')


def encode(array: np.ndarray) -> tuple[dict[str, Any], bytes]:
    """Code an array.

    A channel of floats that takes 256 values at most, such as normals that were stored as colours,
    becomes one byte a value and a table. Bytes are deflated where that leaves a quarter of them or
    less: what shrinks less takes longer to inflate than to read. So do floats of more values, such
    as measured depth, which stay as they are.

    Args:
        array: uint8, uint16 or float32, ``(H, W)`` or ``(H, W, C)``.

    Returns:
        What :func:`decode` needs to know, fit for JSON, and the bytes.
    """
    dtype = array.dtype.newbyteorder('<').str
    assert dtype in _DTYPES, dtype
    tables = None
    if dtype == '<f4' and array.size:
        array, tables = _to_levels(array)
    content = np.ascontiguousarray(array, array.dtype.newbyteorder('<')).tobytes()
    body = content if array.dtype.kind == 'f' else _deflate(content)
    spec = {
        'dtype': dtype,
        'shape': list(array.shape),
        'deflated': len(body) < len(content),
        'tables': 0 if tables is None else len(tables),
    }
    head = b'' if tables is None else tables.astype('<f4').tobytes()
    return spec, head + body


def decode(spec: dict[str, Any], content: np.ndarray) -> np.ndarray:
    """Give back the array that was coded.

    Args:
        spec: What :func:`encode` told.
        content: Its bytes, uint8 ``(N,)``; the array may share their memory.

    Returns:
        A writeable array, equal to the coded one in every bit.

    Raises:
        ValueError: If the bytes are not those of such an array.
        zlib.error: If they cannot be inflated.
    """
    shape, num_tables = tuple(spec['shape']), spec['tables']
    head = num_tables * _LEVELS * 4
    body = content[head:]
    if spec['deflated']:
        body = np.frombuffer(zlib.decompress(body.data), np.uint8)
    if not num_tables:
        array = body.view(spec['dtype']).reshape(shape)
        return array if array.flags.writeable else array.copy()
    tables = content[:head].view('<f4').reshape(num_tables, _LEVELS)
    return cv2.LUT(body.reshape(shape), np.ascontiguousarray(tables.T)[None]).reshape(shape)


def _deflate(content: bytes) -> bytes:
    """The bytes deflated, or as they are where they shrink too little."""
    deflated = zlib.compress(content, 1)
    return deflated if 4 * len(deflated) <= len(content) else content


def _to_levels(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """A byte a value and a table a channel; the array itself where a channel has more values."""
    # Bits are compared rather than numbers: they tell 0 from -0 and find nan equal to itself.
    channels = array.reshape(*array.shape[:2], -1).view(np.uint32)
    levels = np.empty(channels.shape, np.uint8)
    tables = np.zeros((channels.shape[2], _LEVELS), np.uint32)
    for index in range(channels.shape[2]):
        values, places = np.unique(channels[..., index], return_inverse=True)
        if values.size > _LEVELS:
            return array, None
        levels[..., index] = places.reshape(levels.shape[:2])
        tables[index, : values.size] = values
    return levels.reshape(array.shape), tables.view(np.float32)
