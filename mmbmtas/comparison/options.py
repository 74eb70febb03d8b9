"""Overrides that a comparison passes to command lines, as ``--cfg-options`` reads them."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import DictAction

from mmbmtas.errors import InputError


def flatten_options(options: Any, where: str) -> dict[str, Any]:
    """Name nested entries by their dotted path, as the command line does.

    Raises:
        ValueError: The command line cannot say a value.
    """
    if not isinstance(options, Mapping):
        raise InputError(f'{where} should be a dict, not {options!r:.60}')
    flat: dict[str, Any] = {}
    for key, value in options.items():
        name = f'{where}: {key}'
        if isinstance(value, Mapping) and value:
            inside = flatten_options(value, name)
            flat |= {f'{key}.{inner}': item for inner, item in inside.items()}
        elif '=' in str(key) or not _survives(value):
            raise InputError(
                f'{name} = {value!r:.60} cannot be handed on as --cfg-options: values are numbers, '
                'True, False, None, plain words, and lists or tuples of these; dicts have entries. '
                'Put it into a config that has this one as its _base_'
            )
        else:
            flat[key] = value
    return flat


def _survives(value: Any) -> bool:
    """Tell whether ``--cfg-options`` gives a value back as it was."""
    try:
        return repr(DictAction._parse_iterable(format_option(value))) == repr(value)
    except AssertionError:  # brackets without a counterpart
        return False


def format_option(value: Any) -> str:
    """Write a value as ``--cfg-options`` reads it."""
    if isinstance(value, list | tuple):
        opening, closing = '()' if isinstance(value, tuple) else '[]'
        return opening + ','.join(map(format_option, value)) + closing
    return str(value)


def option_words(options: Mapping[str, Any]) -> list[str]:
    """Write overrides as words of a command line."""
    words = [f'{key}={format_option(value)}' for key, value in options.items()]
    return ['--cfg-options', *words] if words else []
