"""The data set of a command line: a folder, an archive, or a config's training set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmbmtas.errors import InputError

from .launch import read_config
from .shared_keys import plain_datasets

_BY_TOOLS = ('type', 'data_root', 'split', 'tasks', 'pipeline', 'test_mode', 'cache', 'lazy_init',
             'indices', 'serialize_data', 'max_refetch')  # fmt: skip


class Described(NamedTuple):
    """A data set.

    Attributes:
        root: Its folder, or an archive.
        dataset_type: Name of the class that reads it, None if the folders tell.
        options: Further arguments of the class.
    """

    root: str
    dataset_type: str | None
    options: Mapping[str, Any]


def describe_dataset(root: str, dataset_type: str | None = None) -> Described:
    """Find out what data set is meant.

    Args:
        root: A folder, an archive, or a config file (``.py``), which names the folder, the class
            and its settings.
        dataset_type: Name of the class, if the command line names one.

    Raises:
        InputError: The config has no training set, several that differ, or the command line names
            a class beside it.
    """
    if Path(root).suffix != '.py':
        return Described(root, dataset_type, {})
    if dataset_type is not None:
        raise InputError(
            f'--dataset {dataset_type}: {root} names the class already; leave this option out'
        )
    cfg = read_config(root)
    found = []
    for dataset in plain_datasets((cfg.get('train_dataloader') or {}).get('dataset') or {}):
        if dataset.get('data_root') is None or dataset.get('type') is None:
            raise InputError(f'{root}: train_dataloader.dataset has no type or no data_root')
        options = {name: value for name, value in dataset.items() if name not in _BY_TOOLS}
        found.append(Described(str(dataset.data_root), str(dataset.type), options))
    if any(other != found[0] for other in found[1:]):
        raise InputError(
            f'{root} trains on {len(found)} data sets: give the folder of each instead'
        )
    return found[0]
