"""Checks all files of one image: whether each loads and holds correct values."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from types import MappingProxyType
from typing import NamedTuple

from mmcv.transforms import BaseTransform

from mmbmtas.datasets.problems import ExtraCheck, Kind, Problem, Remark
from mmbmtas.datasets.release import Release
from mmbmtas.reading import RangeError, SizeError, is_turned, read_image, read_mask_values


class SampleFiles(NamedTuple):
    """The files of an image: paths by label name, ``img`` for the image itself.

    ``checks`` are what else must fit, by label.
    """

    img_id: str
    paths: Mapping[str, Sequence[str]]
    checks: Mapping[str, ExtraCheck] = MappingProxyType({})


class Checked(NamedTuple):
    """The number of opened files, the problems, and notes on single files."""

    opened: int
    problems: list[Problem]
    remarks: list[tuple[Remark, str]]


def check_sample(release: Release, files: SampleFiles) -> Checked:
    """Open the files of an image, each as training would, and look at the values as stored.

    Loading mends some values silently (negative depth becomes unknown); they are problems here.

    Args:
        release: What reads the labels, and how their values are checked.
        files: The files that there are.
    """
    loader = release.build_label_loader()
    problems: list[Problem] = []
    remarks: list[tuple[Remark, str]] = []
    shape: tuple[int, int] | None = None
    for path in files.paths.get('img', ()):
        try:
            shape = read_image(path).shape[:2]
            if is_turned(path):
                remarks.append(('turned', path))
        except Exception as error:
            problems.append(_problem(path, error))
    for name, path in _labels(files):
        try:
            # Of an image that cannot be read the size is not known.
            with nullcontext() if shape else suppress(SizeError):
                _load(loader, name, path, shape or (0, 0))
            if name in release.checks:
                release.checks[name](path)
            if name in files.checks:
                problems += files.checks[name](path)
            if name in release.masks and (form := _mask_form(path)):
                remarks.append((form, path))
        # Whatever a damaged file makes a library raise, the check goes on.
        except Exception as error:
            problems.append(_problem(path, error))
    return Checked(sum(map(len, files.paths.values())), problems, remarks)


def _mask_form(path: str) -> Remark | None:
    """Which numbers a mask is stored in; None where it is empty."""
    if path.lower().endswith('.mat'):
        return None
    highest = read_mask_values(path)[0].max(initial=0)
    return None if highest == 0 else 'mask of 0 and 1' if highest <= 1 else 'mask of 0 to 255'


def _labels(files: SampleFiles) -> Iterator[tuple[str, str]]:
    for name, paths in files.paths.items():
        if name != 'img':
            yield from ((name, path) for path in paths)


def _load(loader: BaseTransform, name: str, path: str, shape: tuple[int, int]) -> None:
    """Read one label as training does."""
    loader.transform(
        {
            'img_path': '',
            'ori_shape': shape,
            'label_paths': {name: path},
            'tasks': [name],
        }
    )


def _problem(path: str, error: Exception) -> Problem:
    kind: Kind = 'unreadable'
    if isinstance(error, SizeError):
        kind = 'size'
    elif isinstance(error, RangeError):
        kind = 'range'
    message = ' '.join(str(error).split()).removeprefix(f'{path}: ')
    if not isinstance(error, ValueError):
        message = f'{type(error).__name__}: {message}'
    return Problem(kind, path, message)
