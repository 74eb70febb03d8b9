"""Images of packages: handwritten digits, faces, textures."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .extra import require

SPLITS = ('train', 'val', 'test')
SHARES = (0.6, 0.2, 0.2)
"""Of the images of digits and faces, of each class."""

TEXTURES = (
    'brick',
    'grass',
    'gravel',
    'coins',
    'moon',
    'cell',
    'retina',
    'immunohistochemistry',
    'hubble_deep_field',
    'page',
)
STRIPS = {'train': (0, 0.65), 'val': (0.65, 0.825), 'test': (0.825, 1)}
"""Where the textures of a split come from: shares of the width, which do not overlap."""

TEXTURE_COUNTS = {'train': 100, 'val': 30, 'test': 30}
"""Images of each texture in a split."""

_WINDOW = 48  # pixels of a texture that become one image


@dataclass(frozen=True)
class Picture:
    """One image of a domain.

    Attributes:
        image: BGR or grey, uint8.
        label: Position of its class.
        source: What it comes from; no source is in two splits.
    """

    image: NDArray[np.uint8]
    label: int
    source: str


def draw_digits(split: str, rng: np.random.Generator, size: int) -> Iterator[Picture]:
    """Give scikit-learn's 1,797 handwritten digits, 8 x 8 each, in ten classes."""
    found = require('sklearn.datasets').load_digits()
    images = np.rint(found.images * 255 / 16).astype(np.uint8)
    for index in _own_share(found.target, split, rng):
        yield Picture(_resize(images[index], size), int(found.target[index]), f'digit {index}')


def draw_faces(split: str, rng: np.random.Generator, size: int) -> Iterator[Picture]:
    """Give scikit-image's 100 faces, and 100 pieces of images that are none; 25 x 25 each."""
    found = require('skimage.data').lfw_subset()
    images = np.rint(found * 255).astype(np.uint8)
    labels = np.repeat([1, 0], 100)
    for index in _own_share(labels, split, rng):
        yield Picture(_resize(images[index], size), int(labels[index]), f'face {index}')


def draw_textures(split: str, rng: np.random.Generator, size: int) -> Iterator[Picture]:
    """Give windows of ten of scikit-image's pictures, each picture a class."""
    data = require('skimage.data')
    first, last = STRIPS[split]
    for label, name in enumerate(TEXTURES):
        picture = getattr(data, name)()
        picture = picture[..., ::-1] if picture.ndim == 3 else picture
        left, right = (round(share * picture.shape[1]) for share in (first, last))
        for _ in range(TEXTURE_COUNTS[split]):
            row = rng.integers(picture.shape[0] - _WINDOW + 1)
            column = left + rng.integers(right - left - _WINDOW + 1)
            window = picture[row : row + _WINDOW, column : column + _WINDOW]
            yield Picture(_resize(window, size), label, f'{name} {split}')


def _own_share(labels: NDArray, split: str, rng: np.random.Generator) -> list[int]:
    """Choose the images of a split, the same share of each class; splits have none in common.

    Args:
        labels: Classes of all images.
        split: Which split.
        rng: In the same state for each split.
    """
    chosen: list[int] = []
    for label in np.unique(labels):
        indices = rng.permutation(np.flatnonzero(labels == label))
        ends = np.rint(np.cumsum((0, *SHARES)) * len(indices)).astype(int)
        place = SPLITS.index(split)
        chosen += indices[ends[place] : ends[place + 1]].tolist()
    return sorted(chosen)


def _resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    shrinks = image.shape[0] > size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=how)
    return np.asarray(resized, np.uint8)
