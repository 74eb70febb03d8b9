"""The annotation files of the Visual Decathlon: COCO's layout, a class for each image."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.structures.documents import is_count

_WHERE = 'expected the layout of the Visual Decathlon: annotations/<domain>_<split>.json and data/'


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of a file.

    Attributes:
        image_id: Its number, by which results are handed in.
        file_name: Its file, below the data set's folder.
        label: Position of its class in the file's categories; None in a stripped file.
    """

    image_id: int
    file_name: str
    label: int | None


@dataclass(frozen=True)
class Annotations:
    """The content of an annotation file.

    Attributes:
        classes: Names of the classes, in the order of the file.
        category_ids: The number of each class, by which results are handed in.
        images: All images.
    """

    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: tuple[AnnotatedImage, ...]


def read_annotations(path: Path) -> Annotations:
    """Read an annotation file.

    Raises:
        MissingFileError: There is no such file.
        InputError: It is not of this layout; names the file, the entry and what is expected.
    """
    if not path.is_file():
        raise MissingFileError(f'{path} is missing: {_WHERE}')
    try:
        document = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise InputError(f'{path} is not a JSON file: {error}') from error
    entries = _entries(path, document, 'categories', {'id': is_count})
    positions = _positions(path, 'categories', [entry['id'] for entry in entries])
    images = _entries(path, document, 'images', {'id': is_count, 'file_name': _is_file_name})
    rows = _positions(path, 'images', [entry['id'] for entry in images])
    labels: list[int | None] = [None] * len(images)
    if 'annotations' in document:
        checks = {'image_id': is_count, 'category_id': is_count}
        for index, entry in enumerate(_entries(path, document, 'annotations', checks)):
            where = f'{path}: annotations[{index}]'
            row = _known(where, 'image_id', entry['image_id'], rows)
            if labels[row] is not None:
                raise InputError(f'{where}: image {entry["image_id"]} already has a class')
            labels[row] = _known(where, 'category_id', entry['category_id'], positions)
        if None in labels:
            raise InputError(
                f'{path}: image {images[labels.index(None)]["id"]} has no entry in annotations; '
                'expected one of each image, or no annotations at all'
            )
    return Annotations(
        tuple(str(entry.get('name', entry['id'])) for entry in entries),
        tuple(entry['id'] for entry in entries),
        tuple(
            AnnotatedImage(entry['id'], entry['file_name'], label)
            for entry, label in zip(images, labels, strict=True)
        ),
    )


def _entries(path: Path, document: Any, key: str, checks: Mapping[str, Any]) -> list[Any]:
    """Return a list of objects that have some entries."""
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, list) or not found:
        raise InputError(f'{path}: {key}: found {found!r:.80}, expected a list with entries')
    for index, entry in enumerate(found):
        for name, check in checks.items():
            value = entry.get(name) if isinstance(entry, dict) else None
            if not check(value):
                raise InputError(
                    f'{path}: {key}[{index}].{name}: found {value!r:.80}, expected '
                    f'{"a file below the folder" if name == "file_name" else "a whole number"}'
                )
    return found


def _positions(path: Path, key: str, ids: list[int]) -> dict[int, int]:
    positions = {number: index for index, number in enumerate(ids)}
    if len(positions) != len(ids):
        twice = next(number for number in ids if ids.count(number) > 1)
        raise InputError(f'{path}: {key}: two entries have the id {twice}')
    return positions


def _known(where: str, key: str, number: int, positions: Mapping[int, int]) -> int:
    if number not in positions:
        kind = 'images' if key == 'image_id' else 'categories'
        raise InputError(f'{where}.{key}: found {number}, which is not the id of any of {kind}')
    return positions[number]


def _is_file_name(value: Any) -> bool:
    usual = isinstance(value, str) and 0 < len(value) <= 1000
    return usual and not Path(value).is_absolute() and '..' not in Path(value).parts
