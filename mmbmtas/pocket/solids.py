"""Rooms of our renderer, classed by what fills most of the picture."""

from collections.abc import Iterator

import numpy as np

from mmbmtas.scenes import render_image
from mmbmtas.scenes.classes import CATEGORIES

from .pictures import Picture

CLASSES = ('person', 'chair', 'sofa', 'table', 'bed', 'cabinet')
"""Classes of the domain; rooms in which something else is the largest are left out."""

COUNTS = {'train': 640, 'val': 160, 'test': 160}
"""Images in a split."""

_LEAST = 0.08  # of the picture that the largest thing fills
_NAMES = [category.name for category in CATEGORIES]


def draw_solids(split: str, rng: np.random.Generator, size: int) -> Iterator[Picture]:
    """Give rooms; the scenes of two splits are drawn from different seeds."""
    scenes, found, number = int(rng.integers(2**31)), 0, 0
    place = 'train' if split == 'train' else 'val'
    start = 1_000_000 if split == 'test' else 0
    while found < COUNTS[split]:
        rendering = render_image(scenes, place, start + number, (size, size))
        number += 1
        label = _largest(rendering.category, rendering.instance)
        if label is not None:
            found += 1
            yield Picture(rendering.image[..., ::-1], label, f'room {place} {start + number}')


def _largest(category: np.ndarray, instance: np.ndarray) -> int | None:
    """Return the class of the thing that fills most pixels, if it is one of the classes."""
    things, counts = np.unique(instance[instance >= 0], return_counts=True)
    if not len(things) or counts.max() < _LEAST * instance.size:
        return None
    own = category[instance == things[counts.argmax()]]
    name = _NAMES[int(np.bincount(own).argmax())]
    return CLASSES.index(name) if name in CLASSES else None
