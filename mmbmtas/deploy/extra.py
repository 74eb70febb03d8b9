"""The packages of the extra ``onnx``, imported when they are needed."""

from importlib import import_module
from typing import Any

from mmbmtas.errors import InputError


def require(name: str) -> Any:
    """Import ``onnx`` or ``onnxruntime``.

    Raises:
        InputError: It is not installed; says how to install it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f'exported networks need the package {name}, which cannot be imported ({error}): '
            "pip install 'mmbmtas[onnx]', or pip install -r requirements/onnx.txt"
        ) from error
