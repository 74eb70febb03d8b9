"""Which files of a folder belong to which image: by patterns of names, or by a list."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.reading import read_rows

IMAGE_ENDINGS = ('jpg', 'jpeg', 'png', 'bmp', 'tif', 'tiff', 'webp')
"""Endings that a pattern of images without one stands for."""


class FolderSample(NamedTuple):
    """An image and its labels.

    Attributes:
        stem: Name of the image, with the folders that ``{stem}`` stands for.
        image: Its file, below the data set's folder.
        labels: File of each label that there is, by task.
        split: The split that a list states, else None.
    """

    stem: str
    image: str
    labels: dict[str, str]
    split: str | None = None

    @property
    def img_id(self) -> str:
        """The stem as the name of a file."""
        return self.stem.replace('/', '__')


class Pattern:
    """A pattern of files' names, with ``{stem}`` once and ``*`` for anything but a folder.

    Args:
        text: The pattern. ``images`` and ``images/`` mean ``images/{stem}``.
        endings: The endings that it stands for where it has none.
    """

    def __init__(self, text: str, endings: Sequence[str]) -> None:
        if '{stem}' not in text:
            text = f'{text.rstrip("/")}/{{stem}}'
        self.text = text.removeprefix('./')
        ending = text.rpartition('{stem}')[2]
        self.any_ending = '.' not in ending and '*' not in ending
        parts = re.split(r'(\{stem\}|\*)', self.text)
        rule = ''.join(
            {'{stem}': '(?P<stem>.+)', '*': '[^/]*'}.get(part, re.escape(part)) for part in parts
        )
        if self.any_ending:
            rule += rf'\.(?i:{"|".join(endings)})'
        self._rule = re.compile(rule)
        self.literals = sum(len(part) for part in parts if part not in ('{stem}', '*'))

    def stem_of(self, path: str) -> str | None:
        """The part of a file's name that stands for the image, None where it does not fit."""
        found = self._rule.fullmatch(path)
        return found['stem'] if found else None

    def example(self, stem: str) -> str:
        """Name a file as the pattern would have it."""
        return self.text.replace('{stem}', stem) + '.*' * self.any_ending


def list_folder(root: str | Path) -> list[str]:
    """List the files below a folder, relative to it with ``/``; hidden ones are left out.

    Raises:
        MissingFileError: There is no such folder.
    """
    if not Path(root).is_dir():
        raise MissingFileError(f'{root} is not a folder: there is no such folder')
    paths = []
    for folder, inside, files in os.walk(root, followlinks=True):
        inside[:] = sorted(name for name in inside if name[0] != '.')
        place = os.path.relpath(folder, root).replace(os.sep, '/')
        prefix = '' if place == '.' else f'{place}/'
        paths += [prefix + name for name in sorted(files) if name[0] != '.']
    return paths


def match_files(
    root: str | Path, images: Pattern, labels: Mapping[str, Pattern]
) -> list[FolderSample]:
    """Find the images of a folder and their labels by patterns.

    A file that fits several patterns belongs to the one that says most of its name, so that
    ``{stem}_mask.png`` is no image of ``{stem}.png``.

    Args:
        root: The folder.
        images: Pattern of the images.
        labels: Pattern of each task's labels.

    Returns:
        The images, by name.

    Raises:
        MissingFileError: There is no image.
        InputError: Two files are the image, or the same label, of one stem, or two images would
            have the same id.
    """
    paths = list_folder(root)
    patterns = {'img': images, **labels}
    found: dict[str, dict[str, str]] = {name: {} for name in patterns}
    for path in paths:
        stems = {name: pattern.stem_of(path) for name, pattern in patterns.items()}
        fits = {name: stem for name, stem in stems.items() if stem is not None}
        most = max((patterns[name].literals for name in fits), default=0)
        for name, stem in fits.items():
            if patterns[name].literals < most:
                continue
            other = found[name].setdefault(stem, path)
            if other != path:
                what = 'image' if name == 'img' else f'label of {name}'
                raise InputError(
                    f'{root}: {other} and {path} are both the {what} of {stem!r}: state the ending '
                    f'in the pattern {patterns[name].text!r}, or move one of them'
                )
    img_paths = found.pop('img')
    if not img_paths:
        folders = sorted({path.partition('/')[0] for path in paths if '/' in path})
        raise MissingFileError(
            f'{root}: no file fits the pattern {images.example("{stem}")!r} of images; it holds '
            f'{len(paths)} files, in the folders {", ".join(folders) or "(none)"}'
        )
    return _distinct(
        root,
        [
            FolderSample(
                stem,
                img_paths[stem],
                {task: by_stem[stem] for task, by_stem in found.items() if stem in by_stem},
            )
            for stem in sorted(img_paths)
        ],
    )


def read_list(path: Path, tasks: Iterable[str]) -> list[FolderSample]:
    """Read a CSV or JSON list of images, with a column ``image`` and one for each task.

    A column ``split`` may say ``train``, ``val`` or nothing (of no split). Paths are
    absolute, or relative to the data set's folder. An empty or absent entry is a missing label.

    Args:
        path: The list; JSON is a list of objects, or an object whose ``samples`` is such a list.
        tasks: The tasks whose columns count.

    Raises:
        MissingFileError: There is no such file.
        InputError: It is no such list; names the row.
    """
    rows = read_rows(path)
    if not rows:
        raise InputError(f'{path}: expected one image per row, found none')
    columns = {column for row in rows for column in row}
    tasks = [*tasks]
    if 'image' not in columns or not {*tasks} <= columns:
        raise InputError(
            f'{path}: expected the columns image, {", ".join(tasks)}, found '
            f'{", ".join(sorted(map(str, columns)))}'
        )
    samples = []
    for number, row in enumerate(rows, start=1):
        entries = {name: str(row.get(name) or '').strip() for name in ('image', 'split', *tasks)}
        if not entries['image'] or entries['split'] not in ('', 'train', 'val'):
            raise InputError(
                f'{path}, row {number}: expected an image, and train, val or nothing as its split; '
                f'found {entries}'
            )
        image = entries['image'].replace('\\', '/')
        samples.append(
            FolderSample(
                os.path.splitext(image)[0].lstrip('./'),
                image,
                {task: entries[task].replace('\\', '/') for task in tasks if entries[task]},
                entries['split'] if 'split' in columns else None,
            )
        )
    return _distinct(path, samples)


def _distinct(where: Any, samples: list[FolderSample]) -> list[FolderSample]:
    """Refuse images that could not be told apart by their ids."""
    seen: dict[str, str] = {}
    for sample in samples:
        other = seen.setdefault(sample.img_id, sample.image)
        if other != sample.image:
            raise InputError(
                f'{where}: {other} and {sample.image} would both be called {sample.img_id!r}: '
                'rename one'
            )
    if len(seen) < len(samples):
        counts = [sample.image for sample in samples]
        twice = next(image for image in counts if counts.count(image) > 1)
        raise InputError(f'{where}: lists {twice} twice')
    return samples


def draw_split(stems: Mapping[str, Any], share: float, seed: int) -> set[str]:
    """Draw the images of the validation split, at least one and not all.

    Each image is drawn by a hash of its name and the seed, so more images hardly change the split
    of those that are there.

    Args:
        stems: Names of the images, with what each split should have its share of, such as the
            labels that there are.
        share: Share of the validation split.
        seed: Another seed draws another split.

    Raises:
        InputError: There are fewer than two images.
    """
    if len(stems) < 2:
        raise InputError(f'expected 2 images or more to split, found {len(stems)}')

    def draw(stem: str) -> str:
        return hashlib.sha256(f'{seed}:{stem}'.encode()).hexdigest()

    # A place from 0 to 1 within its group for each image; the lowest places are validation.
    places: dict[str, float] = {}
    for group in {*stems.values()}:
        members = sorted((stem for stem in stems if stems[stem] == group), key=draw)
        places |= {stem: (rank + 0.5) / len(members) for rank, stem in enumerate(members)}
    order = sorted(stems, key=lambda stem: (places[stem], draw(stem)))
    return {*order[: min(max(1, round(share * len(order))), len(order) - 1)]}
