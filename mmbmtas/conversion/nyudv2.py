"""From the official file of NYUD-v2 to the folder that ``NYUDv2MT`` reads."""

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmbmtas.datasets.image_files import save_jpeg, save_palette_png
from mmbmtas.datasets.nyudv2 import NYUD_CLASSES
from mmbmtas.datasets.parallel import run_parallel
from mmbmtas.errors import InputError
from mmbmtas.reading import mat73_shape, mat73_variables, read_mat, read_mat73_page
from mmbmtas.writing import write_array, written_beside

from .claims import claim, write_ids
from .normals import Camera, normals_of_depth
from .regions import region_boundaries

SIZE = (480, 640)
"""Height and width of the official images."""
WINDOW = (45, 470, 40, 600)
"""First and last + 1 row and column that the multi-task release keeps: the others have no label."""
CAMERA = Camera(fx=518.857901, fy=519.469611, cx=324.582449, cy=252.736166)
"""The colour camera as its makers calibrated it; pixels of the official images."""

_FOLDERS = {
    'images': 'jpg',
    'segmentation': 'png',
    'depth': 'npy',
    'edge': 'npy',
    'normals': 'npy',
}
_SPLITS = {'train': 'trainNdxs', 'val': 'testNdxs'}
_VERSION = 1  # counted up whenever the same files would be converted otherwise


@dataclass(frozen=True)
class _File:
    """The official file: its path, number of images, share of the official size, raw depth."""

    path: str
    number: int
    scale: float
    measured: bool

    def read(self, name: str, number: int) -> NDArray:
        """Read what the release keeps of an image's array; images count from 1."""
        top, bottom, left, right = (round(self.scale * place) for place in WINDOW)
        return read_mat73_page(self.path, name, number - 1)[top:bottom, left:right]

    def camera(self) -> Camera:
        """The camera of what is kept."""
        places = ((place + 0.5) * self.scale - 0.5 for place in (CAMERA.cx, CAMERA.cy))
        camera = Camera(CAMERA.fx * self.scale, CAMERA.fy * self.scale, *places)
        return camera.cropped(round(self.scale * WINDOW[0]), round(self.scale * WINDOW[2]))


@dataclass(frozen=True)
class _Source:
    """What decides each sample's files, to the byte."""

    file: str
    bytes: int
    classes: str
    version: int = _VERSION


def convert_nyudv2(
    file: str | Path,
    splits: str | Path,
    classes: str | Path,
    out: str | Path,
    jobs: int = 1,
) -> Counter[str]:
    """Write a data set in packaging B of ``NYUD_MT`` (docs/data.md tells how labels are made).

    Each file appears whole. The lists of ids come last, so an unfinished folder is no data set.
    The same call goes on where it was interrupted, and writes what is missing.

    Args:
        file: ``nyu_depth_v2_labeled.mat``.
        splits: ``splits.mat``, with the numbers of images in ``trainNdxs`` and ``testNdxs``.
        classes: ``classMapping40.mat``, whose ``mapClass`` has one of 40 classes for each of the
            file's.
        out: Folder to write to; made if missing.
        jobs: Processes.

    Returns:
        Number of samples ``written`` and ``kept``.

    Raises:
        FileNotFoundError: A file is missing.
        InputError: A file is damaged, or does not fit the others.
        OccupiedError: ``out`` holds something else, or was converted from other files.
    """
    out = Path(out)
    source = _opened(file)
    ids = {split: _image_numbers(splits, name, source.number) for split, name in _SPLITS.items()}
    if both := sorted(set(ids['train']) & set(ids['val'])):
        raise InputError(f'{splits}: image {both[0]} is in trainNdxs and in testNdxs')
    mapping = _class_mapping(file, classes)
    digest = hashlib.sha256(mapping.tobytes()).hexdigest()
    origin = _Source(Path(file).name, Path(file).stat().st_size, digest)
    claim(out, (*_FOLDERS, 'gt_sets'), asdict(origin))
    numbers = sorted(ids['train'] + ids['val'])
    missing = [n for n in numbers if not all(path.is_file() for path in _places(out, n).values())]
    for _ in run_parallel(partial(_convert, source, mapping, out), missing, jobs, 'converting'):
        pass
    for split, listed in ids.items():
        write_ids(out / 'gt_sets' / f'{split}.txt', map(_name, listed))
    return Counter(written=len(missing), kept=len(numbers) - len(missing))


def _opened(file: str | Path) -> _File:
    """Check the shapes of all arrays."""
    shape = mat73_shape(file, 'images')
    height, width, number = shape[0], shape[1], shape[-1]
    if shape != (height, width, 3, number) or height * SIZE[1] != width * SIZE[0] or not number:
        raise InputError(
            f'{file}: expected images of shape {(*SIZE, 3)} by their number, or smaller ones of '
            f'these proportions, as in the official nyu_depth_v2_labeled.mat, found {shape}'
        )
    measured = 'rawDepths' in mat73_variables(file)
    for name in ('depths', 'labels', 'instances', *['rawDepths'] * measured):
        found = mat73_shape(file, name)
        if found != (height, width, number):
            raise InputError(
                f'{file}: expected {name} of shape {(height, width, number)}, that of its images, '
                f'found {found}'
            )
    return _File(str(file), number, height / SIZE[0], measured)


def _image_numbers(splits: str | Path, name: str, number: int) -> list[int]:
    """Read the numbers of a split's images, from 1."""
    values = _whole_numbers(splits, name)
    wrong = values[(values < 1) | (values > number)]
    if wrong.size or not values.size or len(np.unique(values)) < values.size:
        problem = f'found {wrong[0]}' if wrong.size else 'found none, or one of them twice'
        raise InputError(
            f'{splits}: expected in {name} numbers of images, 1 to {number}; {problem}'
        )
    return values.tolist()


def _whole_numbers(path: str | Path, name: str) -> NDArray[np.int64]:
    """Read an array of whole numbers in one dimension."""
    values = np.ravel(read_mat(path, name))
    if values.dtype.kind not in 'iuf' or not np.array_equal(values, np.rint(values)):
        raise InputError(f'{path}: expected whole numbers in {name}, found {values.dtype}')
    return values.astype(np.int64)


def _class_mapping(file: str | Path, classes: str | Path) -> NDArray[np.uint8]:
    """Read the class, 1 to 40, of each of the file's classes; entry 0 stays 0, unlabelled."""
    names = [str(np.ravel(name)[0]) for name in np.ravel(read_mat(file, 'names'))]
    mapping = _whole_numbers(classes, 'mapClass')
    if len(mapping) != len(names) or mapping.min() < 1 or mapping.max() > len(NYUD_CLASSES):
        raise InputError(
            f'{classes}: expected in mapClass a class of 1 to {len(NYUD_CLASSES)} for each of the '
            f'{len(names)} names in {file}, found {len(mapping)} numbers, {mapping.min()} to '
            f'{mapping.max()}'
        )
    # Classes that kept their name tell whether the mapping is of this file's classes.
    kept = {name: number for name, number in zip(names, mapping, strict=True) if name in _NUMBERS}
    moved = [name for name, number in kept.items() if number != _NUMBERS[name]]
    if len(moved) * 2 > len(kept):
        raise InputError(
            f'{classes}: expected classes in the order of NYUDv2MT, such as '
            f'{moved[0]!r} as {_NUMBERS[moved[0]]}, found {kept[moved[0]]}: is it the mapping to '
            f'{len(NYUD_CLASSES)} classes?'
        )
    return np.concatenate([[0], mapping]).astype(np.uint8)


_NUMBERS = {name: number for number, name in enumerate(NYUD_CLASSES, 1)}


def _name(number: int) -> str:
    return f'{number:04d}'


def _places(out: Path, number: int) -> dict[str, Path]:
    """Where an image's files go, by their folders."""
    return {f: out / f / f'{_name(number)}.{end}' for f, end in _FOLDERS.items()}


def _convert(file: _File, mapping: NDArray[np.uint8], out: Path, number: int) -> None:
    """Convert one image."""
    image, depth, labels, instances = (
        file.read(name, number) for name in ('images', 'depths', 'labels', 'instances')
    )
    if labels.max() >= len(mapping):
        raise InputError(
            f'{file.path}: expected labels of 0 to {len(mapping) - 1}, one for each of names, '
            f'found {labels.max()} in image {number}'
        )
    # Instances are numbered within their class.
    objects = labels.astype(np.int64) << 16 | instances.astype(np.int64)
    # Where the file's authors have filled depth in, nothing is known of the surface.
    measured = file.read('rawDepths', number) > 0 if file.measured else True
    normals = normals_of_depth(np.where(measured, depth, 0), file.camera())
    places = _places(out, number)
    with written_beside(places['images']) as beside:
        save_jpeg(beside, np.ascontiguousarray(image))
    with written_beside(places['segmentation']) as beside:
        save_palette_png(beside, mapping[labels])
    edges = region_boundaries(np.where(labels == 0, 0, objects))
    write_array(edges.astype(np.uint8), places['edge'])
    write_array(depth.astype(np.float32), places['depth'])
    write_array(normals, places['normals'])
