"""Reads lists of ids from text files in UTF-8, UTF-16 or UTF-32."""

import codecs
from pathlib import Path

from mmbmtas.errors import InputError, MissingFileError

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: 'utf-8-sig',
    # UTF-32's begins with UTF-16's, so it comes first.
    codecs.BOM_UTF32_LE: 'utf-32',
    codecs.BOM_UTF32_BE: 'utf-32',
    codecs.BOM_UTF16_LE: 'utf-16',
    codecs.BOM_UTF16_BE: 'utf-16',
}

_INVISIBLE = '\ufeff\u200b\x00\x1a'
"""Byte order marks of lists that were put together, blanks of no width, DOS's end of a file."""


def read_id_list(path: str | Path) -> list[str]:
    """Read a text file with one id per line and any line ending.

    Args:
        path: The file: UTF-8, or UTF-16 or UTF-32 with or without a byte order mark.

    Returns:
        The ids in the file's order, stripped of blanks; blank lines are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has another encoding, or no id.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path} is not a list of ids: there is no such file')
    text = read_text(path)
    lines = (line.strip().strip(_INVISIBLE).strip() for line in text.splitlines())
    ids = [line for line in lines if line]
    if not ids:
        raise InputError(f'{path}: expected one id per line, found none')
    return ids


def read_text(path: str | Path) -> str:
    """Read a text file in UTF-8, UTF-16 or UTF-32.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has another encoding.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path}: there is no such file')
    content = Path(path).read_bytes()
    try:
        return content.decode(_encoding(content))
    except UnicodeDecodeError as error:
        raise InputError(
            f'{path}: expected text in UTF-8 or UTF-16, found other bytes, at byte {error.start}; '
            'save it as UTF-8'
        ) from error


def _encoding(content: bytes) -> str:
    """Guess the encoding from the first bytes: a byte order mark, or the zeros of UTF-16."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return encoding
    zeros = [index for index, byte in enumerate(content[:4]) if byte == 0]
    return 'utf-16-le' if zeros == [1, 3] else 'utf-16-be' if zeros == [0, 2] else 'utf-8'
