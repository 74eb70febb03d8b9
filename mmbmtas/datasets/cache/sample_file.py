"""The file of one cached sample: a header in JSON and one block of bytes an array.

Layout: the eight bytes ``MTSAMPLE``, the header's length (4 bytes, little-endian), the header, the
blocks. A reader takes the blocks it needs.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmbmtas.errors import InputError
from mmbmtas.writing import written_beside

from .arrays import decode, encode

SUFFIX = '.sample'
_MAGIC = b'MTSAMPLE'
_LENGTH = struct.Struct('<I')
_HEADER_LIMIT = 1 << 20
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, OverflowError, struct.error, zlib.error)


def write_sample(path: Path, info: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a sample under a temporary name and rename it, so that it is whole or absent.

    Args:
        path: File to write; its folder exists.
        info: What else to keep, fit for JSON.
        arrays: Arrays by name; of which kinds, see :func:`~.arrays.encode`.
    """
    specs, blocks = [], []
    for name, array in arrays.items():
        spec, block = encode(array)
        specs.append({'name': name, 'bytes': len(block), **spec})
        blocks.append(block)
    header = json.dumps({**info, 'arrays': specs}).encode()
    with written_beside(path) as beside:
        beside.write_bytes(b''.join([_MAGIC, _LENGTH.pack(len(header)), header, *blocks]))


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of a sample file.

    Args:
        path: The file.

    Returns:
        The ``info`` it was written with, and ``arrays``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    with path.open('rb') as file:
        return _read_header(path, file)


def read_sample(path: Path, names: Iterable[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a sample, or some of its arrays.

    Args:
        path: The file.
        names: Arrays to read; those that the file lacks are left out.

    Returns:
        The header, as of :func:`read_header`, and the arrays by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    names = set(names)
    arrays = {}
    with path.open('rb') as file:
        header = _read_header(path, file)
        try:
            position = file.tell()
            for spec in header['arrays']:
                if spec['name'] in names:
                    file.seek(position)
                    arrays[spec['name']] = decode(spec, _read_block(file, spec['bytes']))
                position += spec['bytes']
        except _BROKEN as error:
            raise _damaged(path) from error
    return header, arrays


def _read_header(path: Path, file: BinaryIO) -> dict[str, Any]:
    """The header, once the file is known to have all of its bytes."""
    try:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        header = json.loads(file.read(min(length, _HEADER_LIMIT)))
        size = file.tell() + sum(spec['bytes'] for spec in header['arrays'])
        if size != os.fstat(file.fileno()).st_size:
            raise ValueError
    except _BROKEN as error:
        raise _damaged(path) from error
    return header


def _read_block(file: BinaryIO, size: int) -> np.ndarray:
    block = np.empty(size, np.uint8)
    if file.readinto(block) != size:  # type: ignore[attr-defined]
        raise ValueError
    return block


def _damaged(path: Path) -> InputError:
    return InputError(
        f'{path}: expected a whole file of a sample cache, found a damaged one; '
        'delete it and run tools/dataset_converters/prepare_dataset.py again'
    )
