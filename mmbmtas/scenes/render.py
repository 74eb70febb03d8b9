"""A scene as an image with its labels: everything is computed on one grid of rays."""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import ndtri

from .classes import CATEGORIES
from .geometry import Array, Runs, cast, cast_room, make_view, surface
from .scene import Scene
from .shading import Surfaces, shade


@dataclass(frozen=True)
class Rendering:
    """An image and its exact labels, ``(H, W)`` unless said otherwise.

    Attributes:
        image: RGB, uint8, ``(H, W, 3)``.
        depth: Distance along the optical axis, metres, float32.
        normals: Unit normals, float32, ``(H, W, 3)``: x right, y up, z toward the camera.
        category: Index in `classes.CATEGORIES`, uint8.
        part: Index in `classes.PARTS`, uint8.
        instance: Object, int32; -1 for the room and what hangs on its walls.
        salient: Whether the pixel belongs to the salient objects, bool.
    """

    image: NDArray[np.uint8]
    depth: Array
    normals: Array
    category: NDArray[np.uint8]
    part: NDArray[np.uint8]
    instance: NDArray[np.int32]
    salient: NDArray[np.bool_]


def render(scene: Scene, size: tuple[int, int], rng: Generator) -> Rendering:
    """Render a scene.

    Args:
        scene: The room.
        size: Height and width, pixels.
        rng: Source of the sensor's noise.
    """
    view = make_view(scene.eye, scene.axes, scene.tangent, size)
    world = scene.arrays()
    solids = world.seen_from(view)
    depth, index = cast_room(view, scene.room)
    cast(view, solids, depth, index)
    runs = Runs(index.ravel())
    points = np.stack(
        [np.multiply(depth, view.u).ravel(), (depth * view.v[:, None]).ravel(), -depth.ravel()]
    )
    local, local_normal, normal = surface(points, runs, solids)
    seen = Surfaces(runs, points, normal, local, local_normal)
    radiance = shade(scene, world, view, seen, depth)
    image = _develop(_interleaved(radiance, size), scene, rng)
    category, part = (
        runs.look_up(np.array(labels, np.uint8)).reshape(size)
        for labels in ([s.category for s in scene.solids], [s.part for s in scene.solids])
    )
    instance = runs.look_up(scene.instance).reshape(size)
    salient = salient_mask(instance, category)
    normals = _interleaved(normal, size)
    return Rendering(image, depth, normals, category, part, instance, salient)


def _interleaved(rows: Array, size: tuple[int, int]) -> Array:
    """Rows ``(3, P)`` as a picture, ``(H, W, 3)``."""
    return np.asarray(cv2.merge([row.reshape(size) for row in rows]), np.float32)


def salient_mask(instance: NDArray[np.int32], category: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The salient objects of an image: its most prominent object, and what comes close to it.

    An object's prominence is its share of the image, weighted pixel by pixel with
    ``exp(-2 r^2)`` (r = 1 at the middle of the border) and by its category's `Category.weight`.
    Objects under 0.5 % of the image never count; every object with at least 0.6 of the highest
    prominence is salient.

    Args:
        instance: Object of each pixel, -1 none, ``(H, W)``.
        category: Index in `classes.CATEGORIES`, ``(H, W)``.
    """
    weight = np.array([c.weight for c in CATEGORIES]).take(category)
    weight *= _centrality(instance.shape)
    label = instance.ravel().astype(np.intp) + 1
    score = np.bincount(label, weight.ravel())
    score[np.bincount(label) < 0.005 * label.size] = 0
    score[0] = 0
    best = score.max()
    return (score >= 0.6 * best).take(label).reshape(instance.shape) & (best > 0)


@lru_cache(maxsize=1)
def _centrality(shape: tuple[int, int]) -> NDArray[np.float64]:
    """How much a pixel draws the eye by its place, ``exp(-2 r^2)``, ``(H, W)``."""
    x, y = ((np.arange(side) + 0.5) / side * 2 - 1 for side in shape[::-1])
    return np.exp(-2 * y * y)[:, None] * np.exp(-2 * x * x)


def _normal_numbers(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Normally distributed numbers out of 4096, at a third of the time that all of them take."""
    bits = np.frombuffer(rng.bytes(2 * math.prod(shape)), '<u2') >> 4
    return _quantiles().take(bits).reshape(shape)


@lru_cache(maxsize=1)
def _quantiles() -> Array:
    """The normal distribution's quantiles at the middles of 4096 equal shares, ``(4096,)``."""
    return ndtri((np.arange(4096) + 0.5) / 4096).astype(np.float32)


def _develop(picture: Array, scene: Scene, rng: Generator) -> NDArray[np.uint8]:
    """Exposure, the lens's blur, noise and the display's curve: RGB uint8, ``(H, W, 3)``."""
    # Highlights are kept below white before the blur, or a pane would bleed over its frame.
    picture = np.minimum(picture, 1.6, out=picture)
    picture = np.asarray(cv2.GaussianBlur(picture, (3, 3), 0.45), np.float32)
    exposure = 0.42 / max(float(picture.mean()), 0.05)
    picture *= min(max(exposure, 0.75), 1.6)
    bend = 0.25 * picture
    bend *= picture
    bend += 1
    picture /= bend
    noise = _normal_numbers(rng, picture.shape)
    sigma = rng.uniform(0.002, 0.008)
    spread = np.sqrt(np.maximum(picture, 0))
    spread += 0.4
    spread *= sigma
    noise *= spread
    picture += noise
    display = np.sqrt(np.maximum(picture, 0, out=picture), out=picture)
    display *= 255
    display += 0.5
    return np.minimum(display, 255, out=display).astype(np.uint8)
