"""The packages that hold the images, which only this needs."""

from importlib import import_module
from typing import Any

from mmbmtas.errors import InputError

_PACKAGES = {'sklearn': 'scikit-learn', 'skimage': 'scikit-image'}


def require(module: str) -> Any:
    """Import a module of a package that holds images.

    Raises:
        InputError: It is not installed; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = _PACKAGES[module.partition('.')[0]]
        raise InputError(
            f'the images of the pocket domains need {package}, which cannot be imported ({error}): '
            'pip install "mmbmtas[pocket]"'
        ) from error
