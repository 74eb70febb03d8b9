"""The packages of the extra ``onnx``, imported when they are needed."""

from typing import Any

from mmbmtas.extras import import_extra


def require(name: str) -> Any:
    """Import ``onnx`` or ``onnxruntime``.

    Raises:
        InputError: It is not installed; says how to install it.
    """
    return import_extra(name, f'exported networks need the package {name}', 'onnx')
