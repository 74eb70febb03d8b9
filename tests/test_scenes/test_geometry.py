"""Ray casting: closed forms of the solids and of the room."""

import numpy as np
import pytest

from mmbmtas.scenes import geometry
from mmbmtas.scenes.geometry import (
    BOX,
    CAPSULE,
    CYLINDER,
    ELLIPSOID,
    FAR,
    Runs,
    Solids,
    cast,
    cast_room,
    look_at,
    make_view,
    surface,
)


def one_solid(kind, center, half, axes=None, stretch=0.0):
    axes = np.eye(3) if axes is None else axes
    arrays = [np.array([a], np.float32) for a in (center, axes, half, stretch)]
    return Solids(np.array([kind]), *arrays)


def plain_view(size=(33, 41), tangent=0.7):
    """At the origin with the world's axes: rays are (u, v, -1) in the world, too."""
    return make_view(np.zeros(3), np.eye(3), tangent, size)


def hit_points(view, solids):
    depth, index = cast(view, solids)
    hit = index >= 0
    rays = np.stack(np.broadcast_arrays(view.u, view.v[:, None], np.float32(-1)))
    points = (rays * depth)[:, hit]
    _, _, normal = surface(points, Runs(index[hit]), solids)
    return hit, points, normal


def turned(rng):
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


class TestGeometry:
    def test_rays_pass_pixel_centres(self):
        view = make_view(np.zeros(3), np.eye(3), 1.0, (2, 4))
        np.testing.assert_allclose(view.u, [-0.75, -0.25, 0.25, 0.75])
        np.testing.assert_allclose(view.v, [0.25, -0.25])

    def test_room_depth_is_along_the_axis(self):
        # Facing a wall head-on, its depth is one number, whatever the angle of the ray.
        eye = np.array([2.0, 1.0, 1.5])
        view = make_view(eye, look_at(eye, [2.0, 4.0, 1.5]), 0.2, (9, 11))
        depth, index = cast_room(view, (4.0, 5.0, 3.0))
        np.testing.assert_allclose(depth, 4.0, rtol=1e-6)
        assert (index == 3).all()

    def test_floor_depth(self):
        eye = np.array([2.0, 1.0, 1.5])
        view = make_view(eye, look_at(eye, [2.0, 4.0, 1.5]), 0.9, (40, 40))
        depth, index = cast_room(view, (4.0, 5.0, 3.0))
        floor = index == 4
        assert floor.any()
        expected = np.broadcast_to(1.5 / -view.v[:, None], depth.shape)
        np.testing.assert_allclose(depth[floor], expected[floor], rtol=1e-5)

    def test_sphere(self):
        view = plain_view()
        center, radius = np.array([0.3, -0.2, -3.0]), 0.8
        solids = one_solid(ELLIPSOID, center, [radius] * 3)
        depth, index = cast(view, solids)
        d = np.stack(np.broadcast_arrays(view.u, view.v[:, None], -1.0), -1).astype(np.float64)
        a, b = (d * d).sum(-1), d @ center
        c = center @ center - radius**2
        inside = b * b - a * c
        assert ((index == 0) == (inside > 0)).all()
        hit = inside > 0
        expected = (b[hit] - np.sqrt(inside[hit])) / a[hit]
        np.testing.assert_allclose(depth[hit], expected, rtol=2e-4)
        _, points, normal = hit_points(view, solids)
        np.testing.assert_allclose(normal, (points - center[:, None]) / radius, atol=2e-3)

    @pytest.mark.parametrize('far', [2.0, 8.0])
    def test_capsule_is_everything_within_its_radius(self, far):
        axes = turned(np.random.default_rng(3))
        radius, stretch = 0.05, 6.0
        center = np.array([0.1, 0.05, -far])
        solids = one_solid(CAPSULE, center, [radius] * 3, axes, stretch)
        view = plain_view((101, 101), 0.4 / far)
        hit, points, normal = hit_points(view, solids)
        along = axes[2] @ (points - center[:, None])
        nearest = center[:, None] + axes[2][:, None] * np.clip(
            along, -stretch * radius, stretch * radius
        )
        away = points - nearest
        np.testing.assert_allclose(np.linalg.norm(away, axis=0), radius, rtol=2e-3)
        np.testing.assert_allclose(normal, away / radius, atol=5e-3)
        # Rays that miss keep their distance: tried against the axis's points, densely.
        rays = np.stack(np.broadcast_arrays(view.u, view.v[:, None], -1.0), -1)[~hit]
        axis = center + np.linspace(-1, 1, 201)[:, None] * stretch * radius * axes[2]
        t = np.einsum('pi,ki->pk', rays, axis) / (rays**2).sum(-1)[:, None]
        gap = np.linalg.norm(rays[:, None] * t[..., None] - axis, axis=-1).min(1)
        assert gap.min() > radius * 0.998

    @pytest.mark.parametrize('kind', [BOX, CYLINDER, ELLIPSOID])
    def test_points_lie_on_the_surface(self, kind):
        axes = turned(np.random.default_rng(5))
        center, half = np.array([0.2, 0.1, -4.0]), np.array([0.9, 0.3, 0.5])
        hit, points, normal = hit_points(plain_view(), one_solid(kind, center, half, axes))
        assert hit.sum() > 30
        x, y, z = axes @ (points - center[:, None]) / half[:, None]
        level = {
            BOX: lambda: np.max(np.abs([x, y, z]), 0),
            CYLINDER: lambda: np.maximum(np.hypot(x, y), np.abs(z)),
            ELLIPSOID: lambda: np.sqrt(x * x + y * y + z * z),
        }[kind]()
        np.testing.assert_allclose(level, 1, atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(normal, axis=0), 1, atol=1e-5)
        assert ((normal * points).sum(0) < 1e-4).all()

    def test_windows_cut_nothing_off(self):
        # Solids one at a time in a view that they fill partly give what a finer sampling gives.
        rng = np.random.default_rng(7)
        for kind in (BOX, CYLINDER, ELLIPSOID, CAPSULE):
            solids = one_solid(
                kind, rng.uniform([-1, -1, -3], [1, 1, -1]), [0.2, 0.2, 0.2], turned(rng), 2.0
            )
            whole, _ = cast(plain_view((60, 60), 3.0), solids)
            assert (whole[[0, -1]] == FAR).all()
            assert (whole < FAR).any()

    def test_solids_behind_are_unseen(self):
        _, index = cast(plain_view(), one_solid(BOX, [0, 0, 3], [1, 1, 1]))
        assert (index == -1).all()

    @pytest.mark.parametrize('batch', [1, 300])
    def test_solids_cast_together_hide_one_another_as_one_by_one(self, monkeypatch, batch):
        rng = np.random.default_rng(2)
        count = 40
        solids = Solids(
            rng.integers(4, size=count),
            rng.uniform([-2, -2, -6], [2, 2, -2], (count, 3)).astype(np.float32),
            np.stack([turned(rng) for _ in range(count)]).astype(np.float32),
            rng.uniform(0.05, 0.4, (count, 3)).astype(np.float32),
            rng.uniform(0.5, 2, count).astype(np.float32),
        )
        depth, index = cast(plain_view(), solids)
        assert len(np.unique(index)) > 20
        alone = [
            cast(plain_view(), Solids(*(a[i : i + 1] for a in vars(solids).values())))[0]
            for i in range(count)
        ]
        assert (depth == np.min(alone, 0)).all()
        assert (np.take_along_axis(np.stack(alone), index[None], 0)[0] == depth)[index >= 0].all()
        monkeypatch.setattr(geometry, 'BATCH', batch)
        again = cast(plain_view(), solids)
        assert (again[0] == depth).all()
        assert (again[1] == index).all()


def test_runs_look_up_what_indexing_finds():
    index = np.array([2, 2, 0, 0, 0, 1, 2], np.int32)
    table = np.arange(12.0).reshape(2, 2, 3)
    assert (Runs(index).look_up(table) == table[..., index]).all()
