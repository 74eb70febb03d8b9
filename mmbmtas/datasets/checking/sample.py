"""Open all files of one image: does each load, and are its values what they should be."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import NamedTuple

import numpy as np
from mmcv.transforms import BaseTransform

from mmbmtas.datasets.pascal_labels import read_object_classes
from mmbmtas.datasets.transforms import LoadNYUDv2Labels, LoadPascalContextLabels
from mmbmtas.reading import (
    RangeError,
    SizeError,
    is_turned,
    read_image,
    read_mask_values,
    read_mat,
    read_npy,
)

from .report import Kind, Problem, Remark

_NUM_VOC_OBJECTS = 20
_NORMALS_TOLERANCE = 1e-3
_DEEPEST = 100  # metres; the median depth of a room is a few, in other units hundreds or more


class SampleFiles(NamedTuple):
    """The files of an image: paths by label name, ``img`` for the image itself.

    ``objects`` are the VOC classes that a list (``objects_file``) says are in the image.
    """

    img_id: str
    paths: Mapping[str, Sequence[str]]
    objects: Sequence[int] | None = None
    objects_file: str = ''


class Checked(NamedTuple):
    """Number of files opened, what is wrong, and what is worth knowing of which file."""

    opened: int
    problems: list[Problem]
    remarks: list[tuple[Remark, str]]


def check_sample(loader: BaseTransform, files: SampleFiles) -> Checked:
    """Open the files of an image, each as training would, and look at the values as stored.

    Loading mends some values silently (negative depth becomes unknown); they are problems here.

    Args:
        loader: What reads the labels.
        files: The files that there are.
    """
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
            _check_stored_values(loader, name, path)
            if name == 'human_parts' and files.objects is not None:
                problems += _check_list(files, path)
            elif name in ('saliency', 'edge') and (form := _mask_form(path)):
                remarks.append((form, path))
        # Whatever a damaged file makes a library raise, the check goes on.
        except Exception as error:
            problems.append(_problem(path, error))
    return Checked(sum(map(len, files.paths.values())), problems, remarks)


def _check_list(files: SampleFiles, path: str) -> list[Problem]:
    """Compare an annotation with what the list of objects says of it."""
    found = read_object_classes(path)
    if sorted(found) == sorted(files.objects or ()):
        return []
    message = (
        f'lists objects of the classes {[*(files.objects or ())]} in {files.img_id!r}, {path} has '
        f'{found}: delete this list, it is written anew'
    )
    return [Problem('split', files.objects_file, message)]


def _mask_form(path: str) -> Remark | None:
    """Which numbers a mask is stored in; None where it is empty."""
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


def _check_stored_values(loader: BaseTransform, name: str, path: str) -> None:
    """Raise where a file holds values that loading would mend or overlook."""
    for kind, checks in _CHECKS.items():
        if isinstance(loader, kind) and name in checks:
            checks[name](path)


def _check_objects(path: str) -> None:
    wrong = [c for c in read_object_classes(path) if not 1 <= c <= _NUM_VOC_OBJECTS]
    if wrong:
        raise RangeError(f'{path}: expected class_ind 1 to {_NUM_VOC_OBJECTS}, found {wrong[0]}')


def _check_edges(path: str) -> None:
    values, highest = read_mask_values(path)
    allowed = (0, 1) if values.max(initial=0) <= 1 else (0, highest)
    wrong = values[~np.isin(values, allowed)]
    if wrong.size:
        raise RangeError(f'{path}: expected edges of 0 and 1, or of 0 and 255, found {wrong[0]}')


def _check_normals(path: str) -> None:
    """Components lie in [-1, 1]; NaN stands for an unknown normal, as zero does."""
    if path.endswith('.npy'):
        furthest = np.nanmax(np.abs(read_npy(path)), initial=0)
        if furthest > 1 + _NORMALS_TOLERANCE:
            raise RangeError(f'{path}: expected normals in [-1, 1], found {furthest:g}')


def _check_depth(path: str) -> None:
    """Depth is finite and not negative; NaN and 0 stand for unknown depth."""
    depth = read_mat(path, 'depth') if path.endswith('.mat') else read_npy(path)
    wrong = depth[(depth < 0) | np.isinf(depth)]
    if wrong.size:
        raise RangeError(
            f'{path}: expected depth of 0 or more metres, or NaN, found {wrong[0]:g} '
            f'({wrong.size} such pixels)'
        )
    known = depth[depth > 0]
    if known.size and (middle := np.median(known)) > _DEEPEST:
        raise RangeError(
            f'{path}: expected depth in metres, found a median of {middle:g}: are these '
            'millimetres? Divide by 1000'
        )


_PASCAL_CHECKS: dict[str, Callable[[str], None]] = {'human_parts': _check_objects}
_NYUD_CHECKS: dict[str, Callable[[str], None]] = {
    'edge': _check_edges,
    'normals': _check_normals,
    'depth': _check_depth,
}
_CHECKS = {LoadPascalContextLabels: _PASCAL_CHECKS, LoadNYUDv2Labels: _NYUD_CHECKS}


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
