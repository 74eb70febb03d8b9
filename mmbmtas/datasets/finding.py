"""Finds the class that reads a data set, by its folders or by name."""

from collections.abc import Sequence
from pathlib import Path

from mmbmtas.errors import InputError
from mmbmtas.registry import DATASETS

from .base import MultiTaskDataset
from .release import Release


def known_types() -> dict[str, type[MultiTaskDataset]]:
    """List the registered data sets that their folders identify, by the names of releases."""
    DATASETS.import_from_location()
    found: dict[str, type[MultiTaskDataset]] = {}
    for kind in DATASETS.module_dict.values():
        if not (isinstance(kind, type) and issubclass(kind, MultiTaskDataset)):
            continue
        release = vars(kind).get('RELEASE')  # a class that derives from another reads its folders
        if release is not None and release.marks:
            found[folder_name(kind)] = kind
    return found


def folder_name(dataset_type: type[MultiTaskDataset]) -> str:
    """Name of a dataset's folder: that of its release, else of its class."""
    return (dataset_type.RELEASE and dataset_type.RELEASE.name) or dataset_type.__name__


def find_dataset_type(
    root: str | Path, dataset_types: Sequence[type[MultiTaskDataset]] | None = None
) -> type[MultiTaskDataset]:
    """Find out by its folders which dataset a folder holds.

    Args:
        root: Folder of an unpacked dataset.
        dataset_types: Those that it may be; by default all that are registered.

    Raises:
        ValueError: If it is none of them, or may be several.
    """
    known = known_types()
    if dataset_types is not None:
        known = {folder_name(kind): kind for kind in dataset_types}
    fitting = [
        kind
        for kind in known.values()
        if kind.RELEASE and any(Path(root, mark).is_dir() for mark in kind.RELEASE.marks)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ' and '.join(kind.__name__ for kind in fitting)
        raise InputError(f'{root} looks like several data sets, {names}: name one with --dataset')
    inside = [name for name in known if Path(root, name).is_dir()]
    hint = f'; did you mean {Path(root, inside[0])}?' if inside else ''
    raise InputError(f'{root} is no {list_known(" and no ")}{hint}')


def list_known(joint: str) -> str:
    """Name the known folders, each with the marks that identify it."""
    return joint.join(
        f'{name} folder (with {kind.RELEASE.marks[0]})'
        for name, kind in known_types().items()
        if kind.RELEASE
    )


def find_dataset_class(name: str) -> type[MultiTaskDataset]:
    """Find a data set's class by its registered name, or as ``package.module.Class``.

    Raises:
        InputError: There is no such class, or it is no :class:`MultiTaskDataset`.
    """
    found = DATASETS.get(name)
    if not (isinstance(found, type) and issubclass(found, MultiTaskDataset)):
        raise InputError(
            f'{name} is not a data set that can be checked: expected the registered name, or '
            'package.module.Class, of a class derived from mmbmtas.datasets.MultiTaskDataset'
        )
    return found


def require_release(dataset: MultiTaskDataset | type[MultiTaskDataset]) -> Release:
    """Return the release that a data set's class states.

    Raises:
        InputError: It says nothing.
    """
    if dataset.RELEASE is None:
        name = (dataset if isinstance(dataset, type) else type(dataset)).__name__
        raise InputError(
            f'{name} cannot be checked: it must name the transform that reads its labels in '
            "RELEASE, for example RELEASE = Release(label_loader='LoadPascalContextLabels')"
        )
    return dataset.RELEASE
