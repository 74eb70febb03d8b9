"""MATLAB 5 files of what a label file holds: text, unsigned integers, and structures of them.

`scipy.io.savemat` writes the same, but takes longer for the structure of an image's parts than the
image takes to render.
"""

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Types of elements, and classes of matrices, by their names in the format's description.
_MI_INT8, _MI_INT32, _MI_UINT32, _MI_MATRIX, _MI_COMPRESSED, _MI_UTF8 = 1, 5, 6, 14, 15, 16
_MX_STRUCT, _MX_CHAR = 2, 4
_NUMBERS = {np.dtype(np.uint8): (2, 9), np.dtype(np.uint16): (4, 11)}
"""Type of the element and class of the matrix by type of number."""

# The time of writing is left out, so that equal content makes equal files.
_HEADER = b'MATLAB 5.0 MAT-file'.ljust(116) + struct.pack('<8xH2s', 0x0100, b'IM')


class Struct(NamedTuple):
    """A 1 x N structure array.

    Attributes:
        fields: Names, one or more, each of up to 31 characters.
        rows: Values of the fields of each structure.
    """

    fields: tuple[str, ...]
    rows: list[tuple['Value', ...]]


Value = str | NDArray[np.uint8] | NDArray[np.uint16] | Struct


def save_mat(path: Path, name: str, value: Value) -> None:
    """Write one variable as a compressed MATLAB 5 file.

    Args:
        path: The file.
        name: The variable's name.
        value: Its value; arrays are ``(H, W)``.
    """
    # Masks are nearly empty, so the quickest level is as good as the slowest.
    # A little memory means a small table, which stays in a core's first cache.
    packer = zlib.compressobj(1, memLevel=6)
    packed = packer.compress(b''.join(_matrix(value, name))) + packer.flush()
    path.write_bytes(_HEADER + struct.pack('<II', _MI_COMPRESSED, len(packed)) + packed)


def _matrix(value: Value, name: str = '') -> list[bytes]:
    """A value as the pieces of an element, by name if it stands on its own."""
    if isinstance(value, str):
        kind, shape = _MX_CHAR, (min(len(value), 1), len(value))
        content = [_element(_MI_UTF8, value.encode())]
    elif isinstance(value, Struct):
        kind, shape = _MX_STRUCT, (1, len(value.rows))
        width = max(map(len, value.fields)) + 1
        names = b''.join(field.encode().ljust(width, b'\0') for field in value.fields)
        content = [_element(_MI_INT32, struct.pack('<i', width)), _element(_MI_INT8, names)]
        content += [piece for row in value.rows for item in row for piece in _matrix(item)]
    else:
        number, kind = _NUMBERS[value.dtype]
        shape = value.shape
        data = value.astype(value.dtype.newbyteorder('<'), copy=False).tobytes(order='F')
        content = [_element(number, data)]
    flags_and_shape = struct.pack('<6I2i', _MI_UINT32, 8, kind, 0, _MI_INT32, 8, *shape)
    content = [flags_and_shape, _element(_MI_INT8, name.encode()), *content]
    return [struct.pack('<II', _MI_MATRIX, sum(map(len, content))), *content]


def _element(kind: int, data: bytes) -> bytes:
    """Data with the tag of its type, padded to 8 bytes; up to 4 bytes stand in the tag itself."""
    if len(data) <= 4:
        return struct.pack('<HH4s', kind, len(data), data)
    return struct.pack('<II', kind, len(data)) + data + bytes(-len(data) % 8)
