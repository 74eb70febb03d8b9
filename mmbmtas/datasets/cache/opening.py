"""Find the cache of a dataset and put it into the dataset's pipeline."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmbmtas.errors import InputError

from .sample_file import SUFFIX
from .steps import VERSION, LoadCachedSample, step_name

INDEX = 'index.json'
"""File of a complete cache: its version, dataset type, and the steps of each of its folders."""

_AGAIN = 'run tools/dataset_converters/prepare_dataset.py'


def default_cache(data_root: str | Path) -> Path:
    """The default place of a dataset's cache: next to the dataset, with ``.cache`` appended.

    Args:
        data_root: Folder of the dataset.

    Example:
        >>> default_cache('data/PASCAL_MT').as_posix()
        'data/PASCAL_MT.cache'
    """
    root = Path(data_root)
    return root.with_name(f'{root.name}.cache')


def read_index(cache: Path) -> dict[str, Any]:
    """Read the index of a complete cache.

    Args:
        cache: The cache's folder.

    Returns:
        ``version``, ``dataset`` and ``variants`` (folder to names of steps).

    Raises:
        ValueError: If there is none, or it is of another version.
    """
    try:
        index = json.loads((cache / INDEX).read_text())
        version, variants = index['version'], dict(index['variants'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'{cache} is not a complete cache: {_AGAIN} to make or complete it'
        ) from error
    if version != VERSION:
        raise InputError(f'{cache} is of version {version}, not {VERSION}: {_AGAIN} again')
    return {**index, 'variants': variants}


def find_variant(
    cache: Path, transforms: Sequence[Any], derived: Mapping[str, str]
) -> LoadCachedSample | None:
    """Find the longest sequence of a pipeline's first steps that a cache can replace.

    Args:
        cache: The cache's folder.
        transforms: The pipeline's transforms.
        derived: Labels that steps add to those of files, and the task each comes with.

    Returns:
        What takes their place, or None if the cache has none of them.

    Raises:
        ValueError: If the cache is incomplete or of another version.
    """
    variants = read_index(cache)['variants']
    steps = [step_name(transform) for transform in transforms]
    for name, cached in sorted(variants.items(), key=lambda variant: -len(variant[1])):
        if cached and cached == steps[: len(cached)]:
            return LoadCachedSample(cache / name, cached, derived)
    return None


def check_holds(folder: Path, ids: Sequence[str]) -> None:
    """Make sure that samples are in a cache, by one listing.

    Args:
        folder: The folder of a cache's variant.
        ids: The samples.

    Raises:
        ValueError: If any is missing.
    """
    present = set(os.listdir(folder)) if folder.is_dir() else set()
    missing = [img_id for img_id in ids if f'{img_id}{SUFFIX}' not in present]
    if missing:
        raise InputError(
            f'{folder} does not have {len(missing)} of {len(ids)} samples, such as {missing[0]}: '
            f'{_AGAIN} again'
        )
