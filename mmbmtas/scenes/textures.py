"""Procedural patterns: how much of a material's second colour stands at each surface point.

Every pattern maps texture coordinates ``s, t`` in metres ``(P,)``, the period ``scale`` in metres
and the share of detail ``fade`` that a pixel can still show (1 all, 0 none) to a weight 0..1.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .geometry import Array

_TILE = 512
_TILE_METRES = 2.0


@lru_cache(maxsize=1)
def _noise_tile() -> NDArray[np.uint8]:
    """Fractal noise, periodic, as bytes, which fit a core's cache; ``(512, 512)``."""
    rng = np.random.default_rng(20)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_TILE), np.fft.fftfreq(_TILE))) * _TILE
    spectrum = np.fft.fft2(rng.standard_normal((_TILE, _TILE)))
    spectrum *= np.where(frequency > 0, 1 / np.maximum(frequency, 2) ** 1.3, 0)
    tile = np.fft.ifft2(spectrum).real
    return np.clip(127.5 + tile / tile.std() * 51, 0, 255).astype(np.uint8)


def noise(s: Array, t: Array) -> Array:
    """Fractal noise of 0..1 at coordinates in metres; repeats every 2 m."""
    step = _TILE / _TILE_METRES
    row = (t * step).astype(np.int32) & (_TILE - 1)
    column = (s * step).astype(np.int32) & (_TILE - 1)
    return _noise_tile().ravel()[row * _TILE + column] * np.float32(1 / 255)


def _wave(x: Array, sharp: float = 4.0) -> Array:
    return np.clip(0.5 + sharp * np.sin(2 * np.pi * x), 0, 1)


def _hash(x: Array, seed: float) -> Array:
    """Pseudo-random 0..1 of each whole number."""
    value = np.sin(x * np.float32(12.9898) + np.float32(seed)) * np.float32(437.58)
    return value - np.floor(value)


def _line(x: Array, width: float) -> Array:
    """1 within ``width`` of a whole number."""
    return (np.abs(x - np.rint(x)) < width).astype(np.float32)


def _plain(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    return 0.12 * fade * noise(s, t)


def _weave(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    return fade * 0.5 * noise(s * 5, t * 5)


def _stripes(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    return np.asarray(0.5 + fade * (_wave(s / scale) - 0.5), np.float32)


def _checks(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    product = np.sin(2 * np.pi * s / scale) * np.sin(2 * np.pi * t / scale)
    return 0.5 + fade * (np.clip(0.5 + 5 * product, 0, 1) - 0.5)


def _wood(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    grain = noise(s * 0.15, t * 1.5)
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (t / scale + 3 * grain))
    return 0.35 + fade * (0.5 * (rings - 0.5) + 0.3 * (noise(s * 0.4, t * 8) - 0.5))


def _planks(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    board = np.floor(t / scale)
    shade = _hash(board, 1.7)
    ends = _line(s / 1.3 + shade * 7, 0.004)
    gaps = np.maximum(_line(t / scale, 0.03), ends)
    grain = noise(s * 0.2 + shade, t * 4)
    return np.clip(0.5 * shade + 0.4 * (grain - 0.3) + fade * 0.6 * gaps, 0, 1)


def _tiles(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    gaps = np.maximum(_line(s / scale, 0.02), _line(t / scale, 0.02))
    shade = _hash(np.floor(s / scale) * 7 + np.floor(t / scale), 0.3)
    return np.clip(0.12 * shade + 0.1 * noise(s, t) + fade * 0.8 * gaps, 0, 1)


def _blotches(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    return np.clip(4 * (noise(s / scale, t / scale) - 0.38), 0, 1)


def _leaves(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    return np.clip(0.5 + fade * 4 * (noise(s * 2.5, t * 2.5) - 0.5), 0, 1)


def _tape(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    return (np.abs(s) < 0.08 * scale).astype(np.float32)


def _sky(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    """Second colour (greenery) below a bumpy horizon, a little haze above."""
    horizon = -0.25 * scale + 0.5 * (noise(s * 0.5, s * 0) - 0.5)
    return np.clip((horizon - t) * 12, 0, 1) * (0.6 + 0.4 * noise(s * 2, t * 2))


def _curtain(s: Array, t: Array, scale: Array, fade: Array) -> Array:
    return 0.5 + 0.5 * fade * np.sin(2 * np.pi * (s / scale + 0.4 * noise(s * 0.3, s * 0)))


Pattern = Callable[[Array, Array, Array, Array], Array]

PATTERNS: dict[str, Pattern] = {
    'plain': _plain, 'weave': _weave, 'stripes': _stripes, 'checks': _checks, 'wood': _wood,
    'planks': _planks, 'tiles': _tiles, 'blotches': _blotches, 'leaves': _leaves, 'tape': _tape,
    'sky': _sky, 'curtain': _curtain, 'spines': _plain,
}  # fmt: skip
PATTERN_ID = {name: i for i, name in enumerate(PATTERNS)}


def _spine_colors(s: Array, t: Array, scale: Array, color: Array) -> Array:
    """Colours of a row of book spines, ``(3, P)``; ``color`` seeds the row."""
    book = np.floor(s / scale) + np.floor(color[0] * 100)
    shade = 0.25 + 0.75 * _hash(book, 5.0)
    gap = 1 - 0.6 * _line(s / scale, 0.07)
    band = 1 + 0.6 * _line(t * 4 + _hash(book, 9.0), 0.06)
    channels = [0.06 + 0.6 * shade * _hash(book, seed) ** 1.5 for seed in (0.5, 2.5, 3.5)]
    return np.asarray(np.stack(channels) * (gap * band), np.float32)


def albedo(
    pattern: np.ndarray,
    s: Array,
    t: Array,
    scale: Array,
    footprint: Array,
    color: Array,
    other: Array,
) -> Array:
    """Reflectance of surface points, linear RGB in 0..1, ``(3, P)``.

    Args:
        pattern: Index in `PATTERNS`, ``(P,)``.
        s: First texture coordinate, metres, ``(P,)``.
        t: Second, metres, ``(P,)``.
        scale: Period, metres, ``(P,)``.
        footprint: What a pixel covers of the surface, metres, ``(P,)``: finer detail is faded out.
        color: The material's first colour, ``(3, P)``.
        other: The second, ``(3, P)``.
    """
    fade = np.clip(1.6 - 2.5 * footprint / scale, 0, 1)
    # In the order of their patterns, pixels of one are a slice.
    order = np.argsort(pattern, kind='stable')
    ends = np.cumsum(np.bincount(pattern, minlength=len(PATTERNS))).tolist()
    rows = np.stack([s, t, scale, fade]).take(order, axis=1)
    for function, start, end in zip(PATTERNS.values(), [0, *ends], ends, strict=False):
        if end > start:
            rows[0, start:end] = function(*rows[:, start:end])
    mix = np.empty_like(s)
    mix[order] = rows[0]
    result = color + mix * (other - color)
    here = order[ends[-2] :]
    if len(here):
        result[:, here] = _spine_colors(s[here], t[here], scale[here], color[:, here])
    return result
