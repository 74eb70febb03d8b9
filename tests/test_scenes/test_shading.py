"""Light: scalar products give what vectors give, and shadows lie under what throws them."""

import cv2
import numpy as np
import pytest

from mmbmtas.scenes.geometry import Runs, cast, cast_room, make_view, surface
from mmbmtas.scenes.scene import sample_scene
from mmbmtas.scenes.shading import (
    Surfaces,
    _blurred,
    _lamp_light,
    _shadow,
    _window_light,
)


@pytest.fixture(scope='module')
def seen():
    """A room with a window: scene, view, world, depth, what is seen, and world points, normals."""
    rng = np.random.default_rng(4)
    scene = next(s for s in iter(lambda: sample_scene(rng), None) if s.window is not None)
    view = make_view(scene.eye, scene.axes, scene.tangent, (144, 192))
    world = scene.arrays()
    solids = world.seen_from(view)
    depth, index = cast_room(view, scene.room)
    cast(view, solids, depth, index)
    rays = np.stack(np.broadcast_arrays(view.u, view.v[:, None], np.float32(-1)))
    points = (rays * depth).reshape(3, -1)
    runs = Runs(index.ravel())
    local, local_normal, normal = surface(points, runs, solids)
    surfaces = Surfaces(runs, points, normal, local, local_normal)
    position = (scene.axes.T @ points).T + scene.eye
    return scene, view, world, depth, surfaces, position, (scene.axes.T @ normal).T


def lengths(surfaces):
    square = (surfaces.points**2).sum(0)
    return square, np.sqrt(square), -(surfaces.points * surfaces.normal).sum(0)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_lamp(seen):
    scene, view, _, _, surfaces, position, normal = seen
    diffuse, shine = _lamp_light(scene, view, surfaces, *lengths(surfaces))
    offset = scene.lamp - position
    falloff = 5.2 / (1.8 + (offset**2).sum(-1))
    cosine = np.maximum((unit(offset) * normal).sum(-1), 0)
    np.testing.assert_allclose(diffuse, falloff * cosine, atol=1e-4)
    half = unit(unit(offset) + unit(scene.eye - position))
    expected = np.maximum((half * normal).sum(-1), 0) ** 32
    np.testing.assert_allclose(shine, falloff * expected, atol=1e-3)
    assert diffuse.max() > 0.5


def test_window(seen):
    scene, view, _, _, surfaces, position, normal = seen
    square, _, facing = lengths(surfaces)
    light = _window_light(scene.window, view, surfaces, square, facing)
    offset = scene.window - position
    cosine = (unit(offset) * normal).sum(-1)
    expected = np.maximum(cosine + 0.15, 0) * 3 / (1.5 + (offset**2).sum(-1))
    np.testing.assert_allclose(light, expected, atol=1e-3)


def test_shadows_are_where_the_way_to_the_lamp_is_blocked(seen):
    scene, view, world, _, surfaces, position, normal = seen
    below = np.flatnonzero(scene.lamp[2] - position[:, 2] > 0.3)[::19]
    lit = _shadow(scene, world, view, surfaces)[below]
    throwing = np.array([s.shadow for s in scene.solids]) & (np.arange(len(scene.solids)) > 5)
    start = (position + 0.02 * normal)[below]
    way = scene.lamp - start
    blocked = np.zeros(len(start), bool)
    # Samples along each way, tried against every solid's own inside.
    for t in np.linspace(0.004, 0.99, 120):
        for i in np.flatnonzero(throwing):
            inside = (start + t * way - world.center[i]) @ world.axes[i].T / world.half[i]
            x, y, z = inside.T
            if world.kind[i] == 0:
                blocked |= np.abs(inside).max(1) < 1
            elif world.kind[i] == 1:
                blocked |= (np.hypot(x, y) < 1) & (np.abs(z) < 1)
            else:
                reach = world.stretch[i] if world.kind[i] == 3 else 0
                z = z - np.clip(z, -reach, reach)
                blocked |= x * x + y * y + z * z < 1
    # The map is coarse: outlines may move by one of its pixels, 4 cm at a metre.
    assert (blocked & (lit < 0.5)).sum() > 0.5 * (blocked | (lit < 0.5)).sum() > 50


def test_a_wide_blur_on_a_smaller_field_is_the_gaussian_one(seen):
    inverse = 1 / seen[3]
    for sigma in (1.5, 3.8, 11.5):
        expected = cv2.GaussianBlur(inverse, (0, 0), sigma)
        spread = inverse.max() - inverse.min()
        assert np.abs(_blurred(inverse, sigma) - expected).max() < 0.03 * spread
