"""The same room as other sensors would show it: images differ, labels stay.

Ours, so that scenes give several domains: each style has other statistics.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .classes import CATEGORIES, CATEGORY_ID
from .render import Rendering

Style = Literal['day', 'night', 'flat', 'depth-grey', 'thermal']
STYLES = get_args(Style)

_NIGHT = np.array([0.16, 0.19, 0.28])  # what is left of red, green and blue
_NIGHT_NOISE = 6.0  # of 255, standard deviation
_FAR = 8.0  # metres, black in depth-grey
_WARMTH = MappingProxyType({'person': 0.9, 'lamp': 0.8, 'television': 0.6, 'window': 0.05})
_ROOM_WARMTH = 0.3
"""How warm things are, 0 to 1; what is not listed has the room's warmth."""


def _night(rendering: Rendering, rng: Generator) -> NDArray[np.float64]:
    """Little light, bluish, with the noise of a sensor that is turned up."""
    return rendering.image * _NIGHT + rng.normal(0, _NIGHT_NOISE, rendering.image.shape)


def _flat(rendering: Rendering, rng: Generator) -> NDArray[np.float64]:
    """The mean colour of each thing, without light and texture, as in a drawing."""
    things = rendering.instance.astype(np.int64) * len(CATEGORIES) + rendering.category
    _, index = np.unique(things, return_inverse=True)
    index = index.reshape(-1)
    counts = np.bincount(index)
    channels = rendering.image.reshape(-1, 3).T.astype(np.float64)
    means = np.stack([np.bincount(index, channel) / counts for channel in channels], axis=1)
    return means[index].reshape(rendering.image.shape)


def _depth_grey(rendering: Rendering, rng: Generator) -> NDArray[np.float64]:
    """Near things bright, far things dark, as a depth camera shows them."""
    grey = 255 * (1 - np.clip(rendering.depth.astype(np.float64) / _FAR, 0, 1))
    return np.repeat(grey[..., None], 3, axis=2)


def _thermal(rendering: Rendering, rng: Generator) -> NDArray[np.float64]:
    """Warm things bright in false colours, blurred as heat is."""
    warmth = np.full(len(CATEGORIES), _ROOM_WARMTH)
    for name, value in _WARMTH.items():
        warmth[CATEGORY_ID[name]] = value
    grey = rendering.image.mean(axis=2) / 255
    heat = np.clip(warmth[rendering.category] + 0.15 * (grey - 0.5), 0, 1)
    heat = cv2.GaussianBlur(heat, (0, 0), 1.0)
    coloured = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return coloured[..., ::-1].astype(np.float64)


_DRAWN: Mapping[str, Callable[[Rendering, Generator], NDArray[np.float64]]] = MappingProxyType(
    {'night': _night, 'flat': _flat, 'depth-grey': _depth_grey, 'thermal': _thermal}
)


def restyle(rendering: Rendering, style: Style, rng: Generator) -> NDArray[np.uint8]:
    """Show a room in a style.

    Args:
        rendering: The room by day.
        style: ``day``: as it is; ``night``; ``flat``: the mean colour of each thing;
            ``depth-grey``: nearness; ``thermal``: warmth in false colours.
        rng: Source of a sensor's noise.

    Returns:
        RGB, ``(H, W, 3)``.
    """
    if style == 'day':
        return rendering.image
    return np.clip(np.rint(_DRAWN[style](rendering, rng)), 0, 255).astype(np.uint8)
