"""A scene as an image with its labels: everything is computed on one grid of rays."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .classes import CATEGORIES
from .geometry import FAR, Array, Solids, View, cast, cast_room, make_view, surface
from .scene import Scene
from .textures import PATTERN_ID, albedo

SHADOW_TANGENT = 2.6
"""The shadow map covers this many times the height below the lamp, to each side."""


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
    flat = index.ravel().astype(np.intp)  # numpy would convert it at every look-up
    z = depth.ravel()
    points = np.stack([np.multiply(depth, view.u).ravel(), (depth * view.v[:, None]).ravel(), -z])
    local, local_normal, normal = surface(points, flat, solids)
    radiance = _shade(scene, world, view, points, flat, local, local_normal, normal, depth)
    image = _develop(radiance.reshape(3, *size), scene, rng)
    category = np.array([s.category for s in scene.solids], np.uint8)[flat].reshape(size)
    part = np.array([s.part for s in scene.solids], np.uint8)[flat].reshape(size)
    instance = scene.instance[flat].reshape(size)
    normals = np.ascontiguousarray(normal.T).reshape(*size, 3)
    salient = salient_mask(instance, category)
    return Rendering(image, depth, normals, category, part, instance, salient)


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
    height, width = instance.shape
    x = (np.arange(width) + 0.5) / width * 2 - 1
    y = (np.arange(height) + 0.5) / height * 2 - 1
    center = np.exp(-2 * y * y)[:, None] * np.exp(-2 * x * x)
    weight = center * np.array([c.weight for c in CATEGORIES])[category]
    label = instance.ravel() + 1
    score = np.bincount(label, weight.ravel())
    score[np.bincount(label) < 0.005 * label.size] = 0
    score[0] = 0
    best = score.max()
    return (score >= 0.6 * best)[instance + 1] & (best > 0)


def _gather(scene: Scene, index: NDArray[np.intp]) -> tuple[NDArray, Array]:
    """Pattern, and colour, other colour, scale, gloss, glow as rows ``(9, P)``, of each pixel."""
    rows = [
        (*s.material.color, *s.material.other, s.material.scale, s.material.gloss, s.material.glow)
        for s in scene.solids
    ]
    pattern = np.array([PATTERN_ID[s.material.pattern] for s in scene.solids], np.uint8)
    return pattern[index], np.array(rows, np.float32).T.take(index, axis=1)


def _texture_coordinates(local: Array, normal: Array) -> tuple[Array, Array]:
    """Coordinates along the face that a local normal belongs to, metres."""
    x, y, z = np.abs(normal)
    on_x = (x > y) & (x > z)
    on_z = (z >= x) & (z > y)
    return np.where(on_x, local[1], local[0]), np.where(on_z, local[1], local[2])


def _shade(
    scene: Scene, world: Solids, view: View, points: Array, index: NDArray[np.intp],
    local: Array, local_normal: Array, normal: Array, depth: Array,
) -> Array:  # fmt: skip
    """Linear light that each pixel sees, RGB, ``(3, P)``."""
    pattern, look = _gather(scene, index)
    distance = np.sqrt((points * points).sum(0))
    toward = points / -distance
    facing = np.maximum((toward * normal).sum(0), 0.05)
    s, t = _texture_coordinates(local, local_normal)
    footprint = distance * view.pixel / facing
    color = albedo(pattern, s, t, look[6], footprint, look[:3], look[3:6])
    position = view.axes.T @ points + view.origin[:, None]
    world_normal = view.axes.T @ normal
    away = view.axes.T @ toward
    lamp, day, ambient = scene.mood
    # The sky of a room is its ceiling, but a lit floor brightens the ceiling in turn.
    light = (
        ambient
        * (0.85 + 0.15 * world_normal[2] + np.float32(0.6) * (world_normal[2] < -0.9))
        * _occlusion(depth, view).ravel()
    )
    tone = np.array(scene.tone, np.float32)[:, None]
    direct, shine = _lamp_light(scene, world, position, world_normal, away, view)
    total = light * (1 + tone) / 2 + lamp * direct * tone
    highlight = lamp * shine
    if scene.window is not None:
        total = total + day * _window_light(scene, position, world_normal) * np.array(
            [[0.9], [1.0], [1.15]], np.float32
        )
    glow = look[8]
    return color * (total * (1 - glow) + glow) + 0.35 * look[7] * highlight * (1 - glow)


def _lamp_light(
    scene: Scene, world: Solids, position: Array, normal: Array, away: Array, view: View
) -> tuple[Array, Array]:
    """Diffuse and glossy light of the ceiling lamp, shadows included, ``(P,)`` each."""
    lamp = scene.lamp.astype(np.float32)
    offset = lamp[:, None] - position
    square = (offset * offset).sum(0)
    offset /= np.sqrt(square)
    cosine = np.maximum((offset * normal).sum(0), 0)
    shadow = _shadow(scene, world, position + 0.02 * normal, max(view.shape))
    falloff = 5.2 / (1.8 + square)
    middle = offset + away
    middle /= np.sqrt((middle * middle).sum(0)) + 1e-6
    shine = np.maximum((middle * normal).sum(0), 0)
    for _ in range(5):
        shine *= shine
    return falloff * cosine * shadow, falloff * shine * shadow


def _shadow(scene: Scene, world: Solids, position: Array, resolution: int) -> Array:
    """Share of the lamp that points see, from a map of depths under the lamp, ``(P,)``."""
    axes = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    side = max(resolution * 3 // 4, 64)
    down = make_view(scene.lamp, axes, SHADOW_TANGENT, (side, side))
    throwing = np.array([s.shadow for s in scene.solids]) & (np.arange(len(scene.solids)) > 5)
    chosen = np.flatnonzero(throwing)
    occluders = Solids(
        world.kind[chosen], world.center[chosen], world.axes[chosen], world.half[chosen],
        world.stretch[chosen],
    )  # fmt: skip
    depth, _ = cast(down, occluders.seen_from(down))
    # Beyond the map nothing stands: only walls and ceiling are there.
    padded = np.pad(depth, 2, constant_values=FAR).ravel()
    x, y, z = position - down.origin[:, None]
    z = np.maximum(-z, np.float32(0.05))
    # Pixel r of the map covers r to r + 1, from 2 on; the taps of what is beyond stay beyond.
    column = np.clip((x / z - down.u[0]) / down.pixel + 2.5, 1.2, side + 2.8)
    row = np.clip((down.v[0] - y / z) / down.pixel + 2.5, 1.2, side + 2.8)
    lit = np.zeros_like(z)
    reach = z - np.float32(0.015)
    for dy, dx in ((-0.7, -0.25), (-0.25, 0.7), (0.25, -0.7), (0.7, 0.25)):
        i, j = (row + dy).astype(np.intp), (column + dx).astype(np.intp)
        i *= side + 4
        lit += padded[i + j] > reach
    return lit * np.float32(0.25)


def _window_light(scene: Scene, position: Array, normal: Array) -> Array:
    """Soft light from the window, without shadows, ``(P,)``."""
    assert scene.window is not None
    offset = scene.window.astype(np.float32)[:, None] - position
    square = (offset * offset).sum(0)
    cosine = (offset * normal).sum(0) / np.sqrt(square + 1e-4)
    return np.maximum(cosine + 0.15, 0) * (3.0 / (1.5 + square))


def _occlusion(depth: Array, view: View) -> Array:
    """Darkening in corners and under furniture, 0..1: depth against its surroundings.

    Inverse depth is linear in the image on a plane, so that planes stay as they are.
    """
    inverse = 1 / depth
    darkness = np.zeros_like(inverse)
    for radius in (0.02, 0.06):
        sigma = radius * max(view.shape)
        behind = cv2.GaussianBlur(inverse, (0, 0), sigma) - inverse
        darkness += np.clip(behind * depth * 1.3, 0, 0.3)
    return np.asarray(1 - darkness, np.float32)


def _develop(radiance: Array, scene: Scene, rng: Generator) -> NDArray[np.uint8]:
    """Exposure, the lens's blur, noise and the display's curve: RGB uint8, ``(H, W, 3)``."""
    picture = np.ascontiguousarray(radiance.transpose(1, 2, 0))
    # Highlights are kept below white before the blur, or a pane would bleed over its frame.
    picture = np.minimum(picture, 1.6)
    picture = cv2.GaussianBlur(picture, (3, 3), 0.45)
    exposure = 0.42 / max(float(picture.mean()), 0.05)
    picture *= min(max(exposure, 0.75), 1.6)
    picture = picture / (1 + 0.25 * picture * picture)
    noise = rng.standard_normal(picture.shape, np.float32)
    sigma = rng.uniform(0.002, 0.008)
    picture += noise * (sigma * (0.4 + np.sqrt(np.maximum(picture, 0))))
    display = np.sqrt(np.maximum(picture, 0))
    return np.clip(display * 255 + 0.5, 0, 255).astype(np.uint8)
