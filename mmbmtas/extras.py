"""Packages that only some users need, imported when they are needed."""

from importlib import import_module
from typing import Any

from mmbmtas.errors import InputError


def import_extra(module: str, need: str, extra: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: The module.
        need: What needs which package, for the message.
        extra: The extra of ``mmbmtas`` that installs the package.

    Raises:
        InputError: It is not installed, or broken; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"{need}, which cannot be imported ({error}): pip install 'mmbmtas[{extra}]', or "
            f'pip install -r requirements/{extra}.txt'
        ) from error
