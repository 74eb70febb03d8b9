"""The packages that hold the images, which only this needs."""

from typing import Any

from mmbmtas.extras import import_extra

_PACKAGES = {'sklearn': 'scikit-learn', 'skimage': 'scikit-image'}


def require(module: str) -> Any:
    """Import a module of a package that holds images.

    Raises:
        InputError: It is not installed; says how to install it.
    """
    package = _PACKAGES[module.partition('.')[0]]
    return import_extra(module, f'the images of the pocket domains need {package}', 'pocket')
