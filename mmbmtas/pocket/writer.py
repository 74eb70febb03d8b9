"""Writes pocket domains as the Visual Decathlon is written, to the byte the same each time."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from mmbmtas.errors import InputError
from mmbmtas.structures.values import require_count
from mmbmtas.writing import folder_written_beside

from .glyphs import GLYPHS, draw_glyphs
from .pictures import SPLITS, TEXTURES, Picture, draw_digits, draw_faces, draw_textures
from .solids import CLASSES, draw_solids

_IDS = 1_000_000  # numbers of a domain's images and classes begin at multiples of it


@dataclass(frozen=True)
class Domain:
    """How the images of a domain are made.

    Attributes:
        classes: Names of the classes.
        draw: From the name of a split, a generator and the side in pixels to the split's images.
    """

    classes: tuple[str, ...]
    draw: Callable[[str, np.random.Generator, int], Iterator[Picture]]


DOMAINS: Mapping[str, Domain] = MappingProxyType(
    {
        'digits': Domain((*'0123456789',), draw_digits),
        'faces': Domain(('other', 'face'), draw_faces),
        'textures': Domain(TEXTURES, draw_textures),
        'glyphs': Domain(GLYPHS, draw_glyphs),
        'solids': Domain(CLASSES, draw_solids),
    }
)
"""All pocket domains, by name."""


def write_pocket_domains(
    folder: str | Path, domains: Sequence[str] = (*DOMAINS,), size: int = 32, seed: int = 0
) -> dict[str, dict[str, int]]:
    """Write domains into a folder: ``annotations/`` and ``data/``, see :class:`VisualDecathlon`.

    The images are written as grey or coloured PNG files. The test split's classes are kept out of
    its file, as in the Visual Decathlon.

    Args:
        folder: The folder, which appears whole or not at all; one that was written so is replaced.
        domains: Which domains.
        size: Height and width of the images, pixels.
        seed: Of what is random: who is in which split, windows, sizes and angles, rooms.

    Returns:
        The number of images by domain and split.

    Raises:
        InputError: A domain is unknown, a number means nothing, or a package is missing.
        OccupiedError: Something else is in the folder.
    """
    unknown = [name for name in domains if name not in DOMAINS]
    if unknown or not domains or len({*domains}) != len(domains):
        raise InputError(f'domains {[*domains]}: expected different ones out of {[*DOMAINS]}')
    require_count('size', size, least=16, most=512)
    require_count('seed', seed, least=0)
    counts: dict[str, dict[str, int]] = {}
    with folder_written_beside(folder) as beside:
        (beside / 'annotations').mkdir()
        for name in domains:
            counts[name] = {}
            for split in SPLITS:
                # The same generator for each split: that is how they agree on who has what.
                rng = np.random.default_rng([seed, [*DOMAINS].index(name)])
                pictures = DOMAINS[name].draw(split, rng, size)
                counts[name][split] = _write_split(beside, name, split, pictures)
    return counts


def _write_split(folder: Path, name: str, split: str, pictures: Iterator[Picture]) -> int:
    """Write the images of a split and their annotations; return how many there are."""
    offset = _IDS * (1 + [*DOMAINS].index(name))
    start = offset + SPLITS.index(split) * _IDS // 10
    place = Path('data', name, split)
    (folder / place).mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, int]] = []
    for index, picture in enumerate(pictures):
        file_name = f'{place.as_posix()}/{index:06d}.png'
        shown = picture.image[..., ::-1] if picture.image.ndim == 3 else picture.image
        Image.fromarray(np.ascontiguousarray(shown)).save(folder / file_name)
        images.append({'id': start + index, 'file_name': file_name})
        annotations.append({'image_id': start + index, 'category_id': offset + picture.label})
    document: dict[str, Any] = {
        'categories': [
            {'id': offset + index, 'name': title}
            for index, title in enumerate(DOMAINS[name].classes)
        ],
        'images': images,
    }
    if split != 'test':
        document['annotations'] = annotations
    ending = 'test_stripped' if split == 'test' else split
    path = folder / 'annotations' / f'{name}_{ending}.json'
    path.write_text(json.dumps(document, indent=1) + '\n', encoding='utf-8')
    return len(images)
