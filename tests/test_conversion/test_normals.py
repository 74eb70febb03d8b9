"""Normals of planes, whose depth is known in closed form."""

import numpy as np
import pytest

from mmbmtas.conversion import Camera, normals_of_depth

CAMERA = Camera(fx=260.0, fy=250.0, cx=41.3, cy=27.8)
SIZE = (60, 80)


def unit(*vector):
    return np.array(vector) / np.linalg.norm(vector)


def plane_depth(normal, distance):
    """Depth where rays meet the plane at a distance from the camera, whose normal faces it."""
    rows, columns = np.indices(SIZE)
    right, up = (columns - CAMERA.cx) / CAMERA.fx, (CAMERA.cy - rows) / CAMERA.fy
    rays = np.stack([right, up, -np.ones(SIZE)], axis=-1)
    return distance / -(rays @ normal)


def angles(normals, truth):
    cosines = np.clip((normals * truth).sum(-1), -1, 1)
    return np.degrees(np.arccos(cosines))


@pytest.mark.parametrize(
    'normal',
    [unit(0, 0, 1), unit(0, 1, 0.3), unit(-0.8, 0.1, 0.6), unit(0.5, -0.6, 0.6)],
)
def test_a_plane_has_its_normal_everywhere(normal):
    normals = normals_of_depth(plane_depth(normal, 1.4), CAMERA)
    assert normals.dtype == np.float32
    assert normals.shape == (*SIZE, 3)
    assert angles(normals, normal).max() < 0.1


def test_a_depth_edge_keeps_two_planes_apart():
    left, right = unit(0.6, 0, 0.8), unit(-0.3, 0.4, 0.85)
    near, far = plane_depth(left, 1.0), plane_depth(right, 2.5)
    on_left = np.arange(SIZE[1]) < 37
    normals = normals_of_depth(np.where(on_left, near, far), CAMERA)
    truth = np.where(np.broadcast_to(on_left, SIZE)[..., None], left, right)
    assert angles(normals, truth).max() < 0.1
    # The same fits without the limit mix both sides, five pixels wide.
    mixed = normals_of_depth(np.where(on_left, near, far), CAMERA, tolerance=np.inf)
    assert angles(mixed, truth)[:, 34:40].min() > 10


def test_noise_of_the_sensor_is_averaged():
    normal = unit(0.4, 0.3, 0.9)
    inverse = 1 / plane_depth(normal, 2.0)
    step = 0.0028  # 1/m, of the sensor
    seen = np.rint(inverse / step + np.random.default_rng(0).normal(0, 0.3, SIZE)) * step
    found = angles(normals_of_depth(1 / seen, CAMERA), normal)
    assert np.median(found) < 3


def test_unknown_depth_and_small_islands_have_no_normal():
    depth = plane_depth(unit(0, 0, 1), 2.0)
    depth[:30] = 0
    depth[:30, :5] = np.nan
    depth[10, 10:30] = 1.0  # a wire: its pixels lie on a line
    depth[20:23, 40:43] = 1.0  # nine pixels
    normals = normals_of_depth(depth, CAMERA)
    assert not normals[:30].any()
    assert angles(normals[30:], unit(0, 0, 1)).max() < 0.1


def test_a_cropped_camera_sees_the_same():
    depth = plane_depth(unit(0.4, 0.3, 0.9), 2.0)
    whole = normals_of_depth(depth, CAMERA)[20:50, 30:70]
    part = normals_of_depth(depth[20:50, 30:70], CAMERA.cropped(20, 30))
    assert angles(whole, part).max() < 0.1
