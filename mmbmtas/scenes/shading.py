"""Light on surfaces: the ceiling lamp with its shadows, the window, and what comes from all around.

Whatever depends on directions is written with scalar products, which take a row of numbers an image
where vectors would take three.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .geometry import FAR, Array, Runs, Solids, View, cast, make_view
from .scene import Scene
from .textures import PATTERN_ID, albedo

SHADOW_TANGENT = 2.6
"""The shadow map covers this many times the height below the lamp, to each side."""


class Surfaces(NamedTuple):
    """What is seen at each of P pixels.

    Attributes:
        runs: The solids.
        points: Where, in the view's coordinates, metres, ``(3, P)``.
        normal: Unit normals in the view's coordinates, ``(3, P)``.
        local: The points along the solid's axes from its centre, metres, ``(3, P)``.
        local_normal: The normals along the solid's axes, ``(3, P)``.
    """

    runs: Runs
    points: Array
    normal: Array
    local: Array
    local_normal: Array


def shade(scene: Scene, world: Solids, view: View, seen: Surfaces, depth: Array) -> Array:
    """Linear light that each pixel sees, RGB, ``(3, P)``.

    Args:
        scene: The room.
        world: Its solids in world coordinates.
        view: The camera.
        seen: The surfaces at the pixels, row by row.
        depth: Along the optical axis, metres, ``(H, W)``.
    """
    pattern, look = _materials(scene, seen.runs)
    square = (seen.points * seen.points).sum(0)
    distance = np.sqrt(square)
    # The cosine between the normal and the way back to the camera, times the distance.
    facing = -(seen.points * seen.normal).sum(0)
    s, t = _texture_coordinates(seen.local, seen.local_normal)
    footprint = square * view.pixel / np.maximum(facing, 0.05 * distance)
    color = albedo(pattern, s, t, look[6], footprint, look[:3], look[3:6])
    strength, day, ambient = scene.mood
    up = view.axes[:, 2] @ seen.normal
    # The sky of a room is its ceiling, but a lit floor brightens the ceiling in turn.
    around = (0.85 + 0.15 * up + np.float32(0.6) * (up < -0.9)) * _occlusion(depth, view).ravel()
    direct, shine = _lamp_light(scene, view, seen, square, distance, facing)
    shadow = _shadow(scene, world, view, seen)
    direct *= shadow
    shine *= shadow
    tone = np.array(scene.tone)
    lights = [around, direct]
    tints = [ambient * (1 + tone) / 2, strength * tone]
    if scene.window is not None:
        lights.append(_window_light(scene.window, view, seen, square, facing))
        tints.append(day * np.array([0.9, 1.0, 1.15]))
    total = np.stack(tints, 1).astype(np.float32) @ np.stack(lights)
    dull = 1 - look[8]
    total *= dull
    total += look[8]
    total *= color
    total += 0.35 * strength * look[7] * shine * dull
    return total


def _materials(scene: Scene, runs: Runs) -> tuple[NDArray[np.uint8], Array]:
    """Pattern, and colour, other colour, scale, gloss, glow as rows ``(9, P)``, of each pixel."""
    rows = [
        (*s.material.color, *s.material.other, s.material.scale, s.material.gloss, s.material.glow)
        for s in scene.solids
    ]
    pattern = np.array([PATTERN_ID[s.material.pattern] for s in scene.solids], np.uint8)
    return runs.look_up(pattern), runs.look_up(np.array(rows, np.float32).T)


def _texture_coordinates(local: Array, normal: Array) -> tuple[Array, Array]:
    """Coordinates along the face that a local normal belongs to, metres."""
    x, y, z = np.abs(normal)
    on_x = (x > y) & (x > z)
    on_z = (z >= x) & (z > y)
    return np.where(on_x, local[1], local[0]), np.where(on_z, local[1], local[2])


def _from(
    place: NDArray[np.float64], view: View, seen: Surfaces, square: Array, facing: Array
) -> tuple[Array, Array, Array]:
    """How points see a place in the world, ``(P,)`` each.

    Returns:
        Squared distance; cosine of the angle to the normal, times the distance; and the scalar
        product of the points with the place, both from the camera.
    """
    center = view.axes @ (place - view.origin).astype(np.float32)
    along = center @ seen.points
    return square - 2 * along + center @ center, center @ seen.normal + facing, along


def _lamp_light(
    scene: Scene, view: View, seen: Surfaces, square: Array, distance: Array, facing: Array
) -> tuple[Array, Array]:
    """Diffuse and glossy light of the ceiling lamp where nothing is in its way, ``(P,)`` each."""
    away, cosine, along = _from(scene.lamp, view, seen, square, facing)
    inverse = 1 / np.sqrt(away)
    cosine *= inverse
    falloff = 5.2 / (1.8 + away)
    # Highlights are where the normal halves the angle between the ways to lamp and camera.
    between = (square - along) * inverse / distance
    half = (cosine + facing / distance) / np.sqrt(2 + 2 * between + 1e-6)
    shine = np.maximum(half, 0)
    for _ in range(5):
        shine *= shine
    return falloff * np.maximum(cosine, 0), falloff * shine


def _shadow(scene: Scene, world: Solids, view: View, seen: Surfaces) -> Array:
    """Share of the lamp that points see, from a map of depths under the lamp, ``(P,)``."""
    side = max(max(view.shape) * 3 // 4, 64)
    down = make_view(scene.lamp, np.eye(3), SHADOW_TANGENT, (side, side))
    lifted = seen.points + np.float32(0.02) * seen.normal
    x, y, z = view.axes.T @ lifted + (view.origin - down.origin)[:, None]
    z = np.maximum(-z, np.float32(0.05))
    column = ((x / z - down.u[0]) / down.pixel).reshape(view.shape)
    row = ((down.v[0] - y / z) / down.pixel).reshape(view.shape)
    lamp_map = _lamp_map(scene, world, down)
    reach = z.reshape(view.shape) - np.float32(0.015)
    lit = np.zeros_like(reach)
    for dy, dx in ((-0.7, -0.25), (-0.25, 0.7), (0.25, -0.7), (0.7, 0.25)):
        # Beyond the map nothing stands: only walls and ceiling are there.
        tap = cv2.remap(
            lamp_map, column + dx, row + dy, cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT, borderValue=float(FAR),
        )  # fmt: skip
        lit += tap > reach
    return lit.ravel() * np.float32(0.25)


def _lamp_map(scene: Scene, world: Solids, down: View) -> Array:
    """Depths that the lamp sees, of what throws shadows, ``(S, S)``."""
    throwing = np.array([s.shadow for s in scene.solids]) & (np.arange(len(scene.solids)) > 5)
    chosen = np.flatnonzero(throwing)
    occluders = Solids(
        world.kind[chosen], world.center[chosen], world.axes[chosen], world.half[chosen],
        world.stretch[chosen],
    )  # fmt: skip
    return cast(down, occluders.seen_from(down))[0]


def _window_light(
    window: NDArray[np.float64], view: View, seen: Surfaces, square: Array, facing: Array
) -> Array:
    """Soft light from the window, without shadows, ``(P,)``."""
    away, cosine, _ = _from(window, view, seen, square, facing)
    cosine /= np.sqrt(away + 1e-4)
    return np.maximum(cosine + 0.15, 0) * (3.0 / (1.5 + away))


def _occlusion(depth: Array, view: View) -> Array:
    """Darkening in corners and under furniture, 0..1: depth against its surroundings.

    Inverse depth is linear in the image on a plane, so that planes stay as they are.
    """
    inverse = np.reciprocal(depth)
    darkness = np.zeros_like(inverse)
    for radius in (0.02, 0.06):
        behind = _blurred(inverse, radius * max(view.shape))
        behind -= inverse
        behind *= depth
        behind *= 1.3
        darkness += np.clip(behind, 0, 0.3, out=behind)
    return np.asarray(1 - darkness, np.float32)


def _blurred(field: Array, sigma: float) -> Array:
    """Gaussian blur; a wide one is done on a smaller field, which looks the same and is quicker."""
    height, width = field.shape
    shrink = max(int(sigma / 2), 1)
    small = cv2.resize(
        field, (-(-width // shrink), -(-height // shrink)), interpolation=cv2.INTER_AREA
    )
    blurred = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / shrink), (width, height))
    return np.asarray(blurred, np.float32)
