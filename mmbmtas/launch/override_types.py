"""Refuses overrides whose type differs from that of the entry they replace."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mmbmtas.errors import InputError
from mmbmtas.launch.config_values import is_checked


def check_override_types(cfg: Config, options: Mapping[str, Any]) -> None:
    """Refuse a text for a number, a number for a dict, and the like.

    A None on either side is no mistake, nor is another type that classes of the libraries take in
    the same place, such as a number for a text. What ``check_values`` looks at is left to it.

    Args:
        cfg: The config before the overrides.
        options: Values by dotted name.

    Raises:
        InputError: An override is of another type than the entry that it replaces.
    """
    for name, value in options.items():
        expected = _expected(str(name), _entry(cfg, str(name)), value)
        if expected and not is_checked(str(name)):
            raise InputError(f'{name}={value!r:.100}: expected {expected}')


def _expected(name: str, old: Any, new: Any) -> str | None:
    """Say what an override should be, None if it may be what it is."""
    if old is None or new is None:
        return None
    if isinstance(old, Mapping):
        wrong = not isinstance(new, Mapping | list | tuple)
        return f'a dict: name its entries, such as {name}.{next(iter(old), "KEY")}' * wrong or None
    if isinstance(old, list | tuple):
        if not isinstance(new, list | tuple | Mapping):
            return f'a list such as {_shown(old)}'
        has_text = any(isinstance(item, str) for item in new)
        return f'numbers, as in {_shown(old)}' if old and has_text and _are_numbers(old) else None
    if isinstance(old, bool):
        return None if isinstance(new, bool) or new in (0, 1) else f'True or False, as in {old}'
    if _are_numbers([old]) and isinstance(new, str | Mapping | list | tuple):
        return f'a number, such as {old}'
    return None


def _entry(cfg: Any, name: str) -> Any:
    """Return the entry of a dotted name, None where there is none."""
    for key in name.split('.'):
        if isinstance(cfg, Mapping | Config):
            cfg = cfg.get(key)
        elif isinstance(cfg, list | tuple) and key.isdigit() and int(key) < len(cfg):
            cfg = cfg[int(key)]
        else:
            return None
    return cfg


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(item, int | float) and not isinstance(item, bool) for item in values)


def _shown(values: Sequence[Any]) -> str:
    return str([*values]).replace(' ', '')[:80]
