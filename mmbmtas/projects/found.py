"""Inspects a folder: which files are images, which are labels, and their problems."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmbmtas.datasets.folder_files import IMAGE_ENDINGS, list_folder
from mmbmtas.errors import InputError
from mmbmtas.progress import Progress
from mmbmtas.reading import read_id_list, read_image

from .content import Facts, Guess, guess_kind, look_into
from .groups import Group, group_files, match_group, without_tail

_IMAGE_WORDS = {'image', 'images', 'img', 'imgs', 'rgb', 'photo', 'photos', 'colour', 'color',
                'jpegimages', 'jpeg', 'picture', 'pictures', 'input', 'inputs', 'left'}  # fmt: skip
_LABEL_WORDS = {'mask', 'masks', 'label', 'labels', 'depth', 'seg', 'segmentation', 'gt', 'normals',
                'normal', 'annotation', 'annotations', 'disparity', 'edge', 'edges'}  # fmt: skip
_NAME_FILES = ('classes.txt', 'class_names.txt', 'names.txt', 'labels.txt', 'categories.txt')
_FEWEST = 5
"""Labels of a task without which there would be none to validate on."""
_MOST_FILES = 400
"""Files of a kind that are read; of more, as many spread over all."""


@dataclass
class FoundTask:
    """A kind of label that was found.

    Attributes:
        name: Name of the task.
        group: Its files, by image.
        facts: What is in them.
        guess: What they are taken for.
        missing: Images without it.
        wrong_size: Files of another size than their image.
    """

    name: str
    group: Group
    facts: Facts
    guess: Guess
    missing: list[str] = field(default_factory=list)
    wrong_size: list[str] = field(default_factory=list)


@dataclass
class Found:
    """What is in a folder.

    Attributes:
        root: The folder.
        images: The images.
        sizes: Heights and widths of the images that were read, with their numbers.
        unreadable: Images that cannot be read, and why.
        tasks: Kinds of labels that can be trained.
        skipped: Other kinds of files, and why they are left out.
        names_file: The file of class names that was used.
    """

    root: Path
    images: Group
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    tasks: list[FoundTask] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    names_file: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Median height and width of the images."""
        sides = np.array([*self.sizes.elements()])
        height, width = np.median(sides, axis=0)
        return int(height), int(width)


def inspect_folder(root: str | Path) -> Found:
    """Look at a folder of images and labels.

    Args:
        root: The folder.

    Raises:
        MissingFileError: There is no such folder.
        InputError: It has no images, or no labels of any kind that can be trained.
    """
    root = Path(root)
    groups = group_files(list_folder(root))
    images = _choose_images(root, groups)
    found = Found(root, images)
    names, found.names_file = _class_names(root)
    by_path = _read_sizes(found)
    for group in groups:
        if group is images:
            continue
        matched = _match(found, group)
        if matched is None:
            found.skipped[group.pattern] = 'their names are not those of images'
            continue
        chosen = _spread([*matched.files.values()])
        facts = look_into(root, chosen)
        guess = guess_kind(matched.words, facts, names) if facts.read else None
        if guess is None or len(matched.files) < _FEWEST:
            few = f'only {len(matched.files)} files, expected {_FEWEST} or more'
            found.skipped[group.pattern] = _why_not(facts) if guess is None else few
            continue
        if facts.variable is not None and facts.variable != matched.name:
            guess.spec['variable'] = facts.variable
        task = FoundTask(_free_name(matched, found.tasks), matched, facts, guess)
        for key, path in matched.files.items():
            image = found.images.files[key]
            if (
                path in facts.by_file
                and by_path.get(image, facts.by_file[path]) != (facts.by_file[path])
            ):
                task.wrong_size.append(path)
        if len(task.wrong_size) == facts.read:
            found.skipped[group.pattern] = (
                f'all have another size than their images, such as {task.wrong_size[0]}'
            )
            continue
        found.tasks.append(task)
    for task in found.tasks:
        task.missing = [
            path for key, path in found.images.files.items() if key not in task.group.files
        ]
    if not found.tasks:
        others = '; '.join(f'{name}: {why}' for name, why in found.skipped.items())
        raise InputError(
            f'{root}: found {len(images.files)} images ({images.pattern}) and no labels. Expected '
            f'a folder for each task, such as {root}/masks, or names such as '
            f'photo_mask.png{f" ({others})" * bool(others)}'
        )
    return found


def _why_not(facts: Facts) -> str:
    if not facts.read:
        path, why = next(iter(facts.unreadable.items()), ('', 'no file'))
        return f'none can be read, such as {path}: {why}'
    return 'colour pictures of too many colours to be classes, and no normals'


def _choose_images(root: Path, groups: Sequence[Group]) -> Group:
    """The group that is most likely to be the photographs."""
    pictures = [g for g in groups if {*g.endings} <= {*IMAGE_ENDINGS}]
    if not pictures:
        endings = ', '.join(IMAGE_ENDINGS)
        raise InputError(f'{root}: found no images (files that end in {endings})')
    return max(pictures, key=lambda group: (_likeness(root, group), len(group.files)))


def _likeness(root: Path, group: Group) -> float:
    """How much files look like photographs: by name, format and number of colours."""
    words = {*group.words}
    score = 4.0 * bool(words & _IMAGE_WORDS) - 4.0 * bool(words & _LABEL_WORDS)
    score += 2.0 * bool({*group.endings} & {'jpg', 'jpeg', 'webp'})
    for path in _spread([*group.files.values()], 4):
        try:
            with Image.open(root / path) as image:
                if image.mode not in ('RGB', 'RGBA', 'CMYK', 'YCbCr', 'L'):
                    continue
            colours = read_image(root / path)
        except (OSError, InputError):
            continue
        step = max(1, colours.shape[0] // 64)
        number = len(np.unique(colours[::step].reshape(-1, 3), axis=0))
        score += min(number, 500) / 500
    return score


def _match(found: Found, group: Group) -> Group | None:
    """The labels by image; images may all end in a word of their own (``_rgb``)."""
    matched = match_group(found.images, group)
    shorter = without_tail(found.images)
    if matched is None and shorter is not None and not found.tasks:
        matched = match_group(shorter, group)
        if matched is not None:
            found.images = shorter
    return matched


def _read_sizes(found: Found) -> dict[str, tuple[int, int]]:
    """Read the images, for their sizes and to find those that are broken."""
    paths = _spread([*found.images.files.values()])
    sizes = {}
    with Progress(len(paths), 'reading images') as progress:
        for path in paths:
            try:
                sizes[path] = read_image(found.root / path).shape[:2]
                found.sizes[sizes[path]] += 1
            except InputError as error:
                found.unreadable[path] = str(error).removeprefix(f'{found.root / path}: ')
            progress.advance()
    if not sizes:
        raise InputError(f'{found.root}: none of its {len(paths)} images can be read')
    return sizes


def _class_names(root: Path) -> tuple[list[str] | None, str | None]:
    """The names in a file of class names, if there is one."""
    for name in _NAME_FILES:
        if (root / name).is_file():
            return read_id_list(root / name), name
    return None, None


def _free_name(group: Group, tasks: Sequence[FoundTask]) -> str:
    taken = {task.name for task in tasks} | {'img', 'label_map', 'image'}
    name = group.name
    number = 2
    while name in taken:
        name = f'{group.name}_{number}'
        number += 1
    return name


def _spread(items: Sequence[Any], most: int = _MOST_FILES) -> list[Any]:
    """All items, or as many as allowed spread over all."""
    if len(items) <= most:
        return [*items]
    return [items[i] for i in np.linspace(0, len(items) - 1, most).astype(int)]
