"""The first steps of a pipeline that a cache replaces, and the transform that replaces them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmcv.transforms import BaseTransform

from mmbmtas.datasets.transforms.labels import add_label
from mmbmtas.errors import InputError
from mmbmtas.reading import read_image

from .sample_file import SUFFIX, read_sample

VERSION = 2
"""Counted up whenever the steps give other samples from the same files, or files change form."""


def step_name(transform: Any) -> str:
    """Name a transform by its type and settings, so that equal names mean equal steps.

    Settings are what its ``__repr__`` says, where it has one, else its attributes. Of a type from
    outside this package the name has the module.

    Args:
        transform: A step of a pipeline.

    Example:
        >>> step_name(LoadSampleImage()), step_name(ResizeSample(0.5))
        ('LoadSampleImage', 'ResizeSample(scale_factor=0.5)')
    """
    kind = type(transform)
    prefix = '' if kind.__module__.startswith('mmbmtas.') else f'{kind.__module__}.'
    if kind.__repr__ is not object.__repr__:
        return f'{prefix}{transform!r}'
    settings = ', '.join(f'{name}={value!r}' for name, value in vars(transform).items())
    return f'{prefix}{kind.__qualname__}' + (f'({settings})' if settings else '')


def sample_path(folder: Path, img_id: str) -> Path:
    """Where a cache's variant holds a sample.

    Args:
        folder: The variant's folder.
        img_id: The sample's id.

    Raises:
        ValueError: If the id would lead out of the folder.
    """
    if '/' in img_id or '\\' in img_id:
        raise InputError(f'expected ids that can name a file, found {img_id!r}')
    return folder / f'{img_id}{SUFFIX}'


def source_marks(data_info: dict[str, Any]) -> dict[str, list[Any]]:
    """Describe the files of a sample well enough to notice that one was changed.

    Args:
        data_info: The sample's information, with ``img_path`` and ``label_paths``.

    Returns:
        For ``img`` and each label: the file with its folder, its size in bytes, and its time of
        change in whole seconds, which archives and copies preserve.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    marks = {}
    for name, path in {'img': data_info['img_path'], **data_info['label_paths']}.items():
        status = os.stat(path)
        folder, file = os.path.split(path)
        place = f'{os.path.basename(folder)}/{file}'
        marks[name] = [place, status.st_size, int(status.st_mtime)]
    return marks


class LoadCachedSample(BaseTransform):
    """Read the result of a pipeline's first steps from a cache.

    The image is read from its own file unless the steps change it. Results equal those of the steps
    in every bit. A dataset puts this transform into its pipeline itself.

    Args:
        folder: The cache's folder for these steps.
        steps: Their names, as of :func:`step_name`.
        derived: Labels that the steps add to those of files, and the task each comes with.

    Raises:
        FileNotFoundError: If the sample is not in the cache.
        ValueError: If its file is damaged, or older than the files it was made from.
    """

    def __init__(
        self, folder: Path, steps: Sequence[str], derived: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.folder = folder
        self.steps = list(steps)
        self.derived = derived

    def transform(self, results: dict) -> dict:
        """Fill in the image and the labels."""
        path = sample_path(self.folder, results['img_id'])
        labels = self._label_names(results)
        header, arrays = read_sample(path, ['img', *labels])
        self._check_is_fresh(path, header, source_marks(results))
        results['img'] = arrays['img'] if 'img' in arrays else read_image(results['img_path'])
        results['ori_shape'] = tuple(header['ori_shape'])
        results['img_shape'] = results['img'].shape[:2]
        results.setdefault('label_keys', [])
        for name in labels:
            if name in arrays:
                add_label(results, name, arrays[name])
        return results

    def _label_names(self, results: dict) -> list[str]:
        """The labels that the steps would add, in their order: those of files, then others."""
        tasks = results['tasks']
        own = [name for name in results['label_paths'] if name in tasks]
        return [*own, *(name for name, task in self.derived.items() if task in tasks)]

    def _check_is_fresh(self, path: Path, header: dict, marks: dict[str, list[Any]]) -> None:
        """Whether the file stands for these steps and for the files as they are."""
        if is_fresh(header, self.steps, marks):
            return
        sources = header.get('sources', {})
        changed = ', '.join(mark[0] for name, mark in marks.items() if sources.get(name) != mark)
        raise InputError(
            f'{path}: this cached sample is stale ({changed or "its format"} changed); run '
            'tools/dataset_converters/prepare_dataset.py again, or set cache=None in the dataset'
        )

    def __repr__(self) -> str:
        return f'{type(self).__name__}(folder={str(self.folder)!r}, steps={self.steps})'


def is_fresh(header: dict[str, Any], steps: list[str], marks: dict[str, list[Any]]) -> bool:
    """Tell whether a cached sample is up to date with its files.

    Args:
        header: The sample file's header.
        steps: Names of the steps it should stand for.
        marks: The files as they are, all of them or some.
    """
    sources = header.get('sources', {})
    return (
        header.get('version') == VERSION
        and header.get('steps') == steps
        and all(sources.get(name) == mark for name, mark in marks.items())
    )
