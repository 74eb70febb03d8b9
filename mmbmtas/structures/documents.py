"""Small, untrusted JSON documents: read with limits, checked key by key."""

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from mmbmtas.errors import InputError
from mmbmtas.writing import written_beside

MAX_BYTES = 1_000_000
MAX_TASKS = 64
MAX_LAYERS = 1000
MAX_NAME = 100
MAX_NESTING = 20

Document = dict[str, Any]


def write_document(document: Document, path: str | os.PathLike) -> None:
    """Write a document whole or not at all: beside ``path`` first, then renamed over it."""
    with written_beside(os.fspath(path)) as beside:
        beside.write_text(format_document(document), encoding='utf-8')


def format_document(document: Document) -> str:
    """Format a document with one task's routing or one layer's groups per line."""
    entries = []
    for key, value in document.items():
        nested = [*value.values()] if isinstance(value, dict) else value
        if isinstance(nested, list) and any(isinstance(item, (dict, list)) for item in nested):
            if isinstance(value, dict):
                lines = [f'{json.dumps(name)}: {json.dumps(item)}' for name, item in value.items()]
            else:
                lines = [json.dumps(item) for item in value]
            opening, closing = '{}' if isinstance(value, dict) else '[]'
            text = f'{opening}\n    ' + ',\n    '.join(lines) + f'\n  {closing}'
        else:
            text = json.dumps(value)
        entries.append(f'  {json.dumps(key)}: {text}')
    return '{\n' + ',\n'.join(entries) + '\n}\n'


def read_document(path: str | os.PathLike) -> Any:
    """Read JSON from a file of at most 1 MB.

    Raises:
        ValueError: If the file is larger, is not JSON (text after it, ``NaN`` and repeated keys
            included) or nests too deeply.
        OSError: If the file can't be read.
    """
    with open(path, 'rb') as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        fail(path, 'size', f'more than {MAX_BYTES} bytes', f'at most {MAX_BYTES}')
    try:
        document = json.loads(
            content.decode('utf-8'),
            parse_constant=_finite,
            parse_float=_finite,
            object_pairs_hook=_unique_keys,
        )
        _check_nesting([document])
    except (ValueError, RecursionError) as error:
        raise InputError(
            f'{os.fspath(path)}: not a JSON document that can be read: {error}'
        ) from error
    return document


def check_keys(
    document: Any,
    where: str | os.PathLike,
    file_format: str,
    version: int,
    checks: Mapping[str, tuple[Callable[[Any], bool], str]],
) -> None:
    """Check that a document is of a format and version and has its keys, each of the right form.

    Args:
        document: What was read.
        where: The file's name, for the message.
        file_format: Expected under ``format``.
        version: Expected under ``version``.
        checks: For each key whether a value is right, and what is.

    Raises:
        ValueError: If anything is missing, unknown or of another form; the message names the file,
            the key, what was found there and what was expected.
    """
    expect(isinstance(document, dict), where, 'document', document, 'a JSON object')
    for key, expected in (('format', file_format), ('version', version)):
        found = document.get(key)
        same = type(found) is type(expected) and found == expected
        expect(same, where, key, found, repr(expected))
    if missing := [key for key in checks if key not in document]:
        fail(where, missing[0], 'nothing', 'this key')
    if unknown := [key for key in document if key not in checks]:
        fail(where, unknown[0], 'an unknown key', f'only {", ".join(checks)}')
    for key, (is_valid, expected) in checks.items():
        expect(is_valid(document[key]), where, key, document[key], expected)


def expect(condition: bool, where: str | os.PathLike, key: str, found: Any, expected: str) -> None:
    """Raise the one form of error that documents have, unless ``condition`` holds."""
    if not condition:
        fail(where, key, _brief(found), expected)


def fail(where: str | os.PathLike, key: str, found: str, expected: str) -> NoReturn:
    """Raise a ``ValueError`` that names file, key, what was found and what was expected."""
    raise InputError(f'{os.fspath(where)}: {key}: found {found}, expected {expected}')


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f'{text[:300]}...'


def is_count(value: Any) -> bool:
    """Tell whether a value is an integer from 0 upwards; ``True`` is not."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_amount(value: Any) -> bool:
    """Tell whether a value is a finite number from 0 upwards; ``True`` is not."""
    return is_count(value) or (isinstance(value, float) and 0 <= value < math.inf)


def is_positive_number(value: Any) -> bool:
    """Tell whether a value is a positive number that floats can hold; ``True`` is not."""
    usual = isinstance(value, (int, float)) and not isinstance(value, bool)
    return usual and 0 < value <= sys.float_info.max


def are_tasks(value: Any) -> bool:
    """Tell whether a value is a list of 1 to 64 different identifiers."""
    return (
        list_of(lambda name: is_name(name) and name.isidentifier())(value)
        and 1 <= len(value) <= MAX_TASKS
        and len(set(value)) == len(value)
    )


def is_encoder(value: Any) -> bool:
    """Tell whether a value is an encoder's config."""
    return isinstance(value, dict) and isinstance(value.get('type'), str)


def plain_json(value: Any, name: str) -> Any:
    """Copy a value by way of JSON, so that it comes back from a file as it went in.

    Raises:
        InputError: It holds something that JSON lacks; ``name`` says where.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f'{name} must hold JSON values only: {error}') from error


def list_of(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Make a check for lists whose items all pass ``is_valid``."""
    return lambda value: isinstance(value, list) and all(map(is_valid, value))


def is_name(value: Any) -> bool:
    """Tell whether a value is text of at most 100 characters."""
    return isinstance(value, str) and len(value) <= MAX_NAME


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InputError(f'{text} is not a finite number')
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise InputError(f'a key is repeated among {[key for key, _ in pairs]}')
    return result


def _check_nesting(value: Any, levels: int = MAX_NESTING) -> None:
    if not levels:
        raise InputError(f'it nests more than {MAX_NESTING} deep')
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (dict, list)):
            _check_nesting(item, levels - 1)


SOURCE_CHECK: tuple[Callable[[Any], bool], str] = (
    lambda value: value is None or isinstance(value, (str, dict)),
    'null, text or an object',
)
"""Of the key ``source``: where a document came from."""
