"""Whole data sets of synthetic scenes: reproducible, in parallel, and never half-written."""

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmbmtas.datasets.parallel import run_parallel
from mmbmtas.errors import InputError, OccupiedError
from mmbmtas.writing import folder_written_beside

from .render import Rendering, render
from .scene import sample_scene
from .styles import STYLES, Style, restyle
from .writers import FOLDERS, SPLITS, write_nyud, write_pascal

Layout = Literal['pascal', 'nyud']

VERSION = 4
"""Counted up whenever the same request would give other files.

2: shading in single precision, which moves one value in 100,000 by one step of 255; PNG otherwise
compressed. 3: noise drawn otherwise, and the darkening of corners blurred on a smaller picture; but
for the noise that moves one value in 16 by one step of 255 and one in 1000 by more. 4: MATLAB files
otherwise compressed, and pixels of the shadow map rounded otherwise, which moves one value in
100,000. Labels are those of 1.
"""

_AS_EVER = ('style', 'day')
RECORD = 'scenes.json'
"""File in a data set's folder that holds the request it was written for."""


@dataclass(frozen=True)
class Request:
    """What decides a data set's content, to the byte."""

    layout: Layout
    train: int
    val: int
    height: int
    width: int
    seed: int
    version: int = VERSION
    style: Style = 'day'

    def record(self) -> dict[str, Any]:
        """Return the content of :data:`RECORD`; scenes by day are recorded as ever."""
        return {key: value for key, value in asdict(self).items() if (key, value) != _AS_EVER}


def render_image(
    seed: int, split: str, number: int, size: tuple[int, int], style: Style = 'day'
) -> Rendering:
    """Render one image; scene and labels depend on seed, split and number only.

    Args:
        seed: Of the data set, 0 or more.
        split: ``train`` or ``val``.
        number: Of the image within its split, from 0.
        size: Height and width, pixels.
        style: How it is shown, see :func:`restyle`; the labels are the same.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), number])
    rendering = render(sample_scene(rng), size, rng)
    return replace(rendering, image=restyle(rendering, style, rng))


def write_scenes(
    root: str | Path,
    layout: Layout,
    train: int,
    val: int,
    size: tuple[int, int] = (128, 160),
    seed: int = 0,
    jobs: int = 1,
    overwrite: bool = False,
    style: Style = 'day',
) -> bool:
    """Write a data set of synthetic rooms with exact labels.

    The folder appears only when it is complete: files go to a folder beside it, which is renamed at
    the end and removed on errors and interrupts. Files do not depend on ``jobs``.

    Args:
        root: Folder to make; ids are ``train_000000``, ``val_000000`` and so on.
        layout: ``pascal`` for ``PASCAL_MT``, ``nyud`` for packaging B of ``NYUD_MT``.
        train: Number of training images.
        val: Number of validation images.
        size: Height and width, pixels, 16 or more.
        seed: Of everything random, 0 or more.
        jobs: Processes.
        overwrite: Replace what is at ``root``, if this function wrote it.
        style: How the rooms are shown: ``day``, ``night``, ``flat``, ``depth-grey`` or ``thermal``.

    Returns:
        Whether anything was written: False where ``root`` already holds just this request.

    Raises:
        OccupiedError: If ``root`` holds another data set and ``overwrite`` is off, or holds a file
            that this function did not write.
        ValueError: If an argument is out of range.

    Example:
        >>> write_scenes('data/scenes', 'pascal', train=800, val=200, jobs=4)  # doctest: +SKIP
        True
    """
    root = Path(root)
    request = _request(layout, train, val, size, seed, jobs, style)
    if _holds(root, request):
        return False
    occupied = root.exists() and (not root.is_dir() or any(root.iterdir()))
    if occupied and not overwrite:
        raise OccupiedError(
            f'{root} exists and is not this data set: choose another folder, or replace it with '
            'overwrite (--overwrite)'
        )
    with folder_written_beside(root) as building:
        _build(building, request, jobs)
    return True


def _request(
    layout: Layout,
    train: int,
    val: int,
    size: tuple[int, int],
    seed: int,
    jobs: int,
    style: Style,
) -> Request:
    """The checked request."""
    if layout not in FOLDERS:
        raise InputError(f'layout must be one of {", ".join(FOLDERS)}, found {layout!r}')
    if style not in STYLES:
        raise InputError(f'style must be one of {", ".join(STYLES)}, found {style!r}')
    numbers = {'train': (train, 0), 'val': (val, 0), 'seed': (seed, 0), 'jobs': (jobs, 1)}
    numbers |= {'height': (size[0], 16), 'width': (size[1], 16)}
    for name, (value, least) in numbers.items():
        if value < least:
            raise InputError(f'{name} must be at least {least}, found {value}')
    return Request(layout, train, val, size[0], size[1], seed, style=style)


def _holds(root: Path, request: Request) -> bool:
    """Whether a folder was written for just this request."""
    try:
        return json.loads((root / RECORD).read_text()) == request.record()
    except (OSError, ValueError):
        return False


def _build(root: Path, request: Request, jobs: int) -> None:
    """Write everything into a new folder."""
    for folder in FOLDERS[request.layout]:
        (root / folder).mkdir(parents=True)
    counts = {'train': request.train, 'val': request.val}
    tasks = [(split, i) for split in SPLITS for i in range(counts[split])]
    work = partial(_write_image, root, request)
    classes = dict(run_parallel(work, tasks, jobs, 'drawing scenes'))
    for split in SPLITS:
        names = [_name(split, i) for i in range(counts[split])]
        _write_lists(root, request.layout, split, names, classes)
    (root / RECORD).write_text(json.dumps(request.record(), indent=2) + '\n')


def _name(split: str, number: int) -> str:
    return f'{split}_{number:06d}'


def _write_image(root: Path, request: Request, task: tuple[str, int]) -> tuple[str, list[int]]:
    """Render and write one image; its id and the VOC classes of its objects."""
    split, number = task
    name = _name(split, number)
    size = request.height, request.width
    rendering = render_image(request.seed, split, number, size, request.style)
    if request.layout == 'pascal':
        return name, write_pascal(root, name, number, rendering)
    write_nyud(root, name, rendering)
    return name, []


def _write_lists(
    root: Path, layout: Layout, split: str, names: list[str], classes: dict[str, list[int]]
) -> None:
    """Lists of ids, and the cache of object classes."""
    ids = ''.join(f'{name}\n' for name in names)
    if layout == 'nyud':
        (root / 'gt_sets' / f'{split}.txt').write_text(ids)
        return
    (root / 'ImageSets/Context' / f'{split}.txt').write_text(ids)
    objects = {name: classes[name] for name in names}
    (root / 'ImageSets/Parts' / f'{split}.txt').write_text(json.dumps(objects))
