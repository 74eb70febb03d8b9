"""Whole renderings: consistent labels, and images that depend on what they should."""

import numpy as np
import pytest
from scipy.stats import kurtosis, skew

from mmbmtas.scenes import render_image
from mmbmtas.scenes.classes import CATEGORY_ID, PERSON
from mmbmtas.scenes.geometry import make_view
from mmbmtas.scenes.render import _normal_numbers
from mmbmtas.scenes.scene import sample_scene

SIZE = (48, 64)


@pytest.fixture(scope='module', params=range(4))
def rendering(request):
    return render_image(11, 'train', request.param, (96, 120))


class TestRendering:
    def test_shapes_and_ranges(self, rendering):
        assert rendering.image.shape == (96, 120, 3)
        assert rendering.image.dtype == np.uint8
        assert rendering.image.std() > 15
        assert rendering.depth.dtype == rendering.normals.dtype == np.float32
        assert 0.1 < rendering.depth.min() < rendering.depth.max() < 9

    def test_normals_are_unit_and_face_the_camera(self, rendering):
        lengths = np.linalg.norm(rendering.normals, axis=-1)
        np.testing.assert_allclose(lengths, 1, atol=1e-4)
        floor = rendering.normals[rendering.category == CATEGORY_ID['floor']]
        assert (floor[:, 1] > 0.8).all()
        assert rendering.normals[..., 2].mean() > 0.2

    def test_parts_lie_on_people(self, rendering):
        assert ((rendering.part > 0) == (rendering.category == PERSON)).all()

    def test_salient_objects_are_whole(self, rendering):
        for i in np.unique(rendering.instance):
            own = rendering.salient[rendering.instance == i]
            assert own.all() or not own.any()
        assert not rendering.salient[rendering.instance == -1].any()
        assert rendering.salient.any()

    @pytest.mark.parametrize('number', range(3))
    def test_normals_agree_with_depth(self, number):
        """On flat stretches the normal of neighbouring points is the label."""
        size = (96, 120)
        result = render_image(11, 'train', number, size)
        scene = sample_scene(np.random.default_rng([11, 0, number]))
        view = make_view(scene.eye, scene.axes, scene.tangent, size)
        rays = np.stack(np.broadcast_arrays(view.u, view.v[:, None], np.float32(-1)), -1)
        points = (rays * result.depth[..., None]).astype(np.float64)
        across = points[1:-1, 2:] - points[1:-1, :-2]
        up = points[:-2, 1:-1] - points[2:, 1:-1]
        normal = np.cross(across, up)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        n = result.normals
        flat = np.ones(normal.shape[:2], bool)
        for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
            other = (slice(dy, dy + 94), slice(dx, dx + 118))
            flat &= (n[other] == n[1:-1, 1:-1]).all(-1)
            flat &= result.category[other] == result.category[1:-1, 1:-1]
        # Inverse depth is linear on a plane: this leaves out steps between parallel faces.
        inverse = 1 / result.depth.astype(np.float64)
        middle = inverse[1:-1, 1:-1]
        flat &= np.abs(inverse[1:-1, 2:] + inverse[1:-1, :-2] - 2 * middle) < 1e-5 * middle
        flat &= np.abs(inverse[2:, 1:-1] + inverse[:-2, 1:-1] - 2 * middle) < 1e-5 * middle
        cosine = (normal * n[1:-1, 1:-1]).sum(-1)[flat]
        assert flat.mean() > 0.4
        assert cosine.min() > 0.99999

    def test_image_shows_its_labels(self, rendering):
        """Outlines of objects are where the picture changes: no shift between image and labels."""
        gray = rendering.image.mean(-1)
        change = np.abs(np.diff(gray, axis=1))
        edge = rendering.category[:, 1:] != rendering.category[:, :-1]
        strength = [np.roll(change, shift, 1)[edge].mean() for shift in (-2, -1, 0, 1, 2)]
        assert int(np.argmax(strength)) == 2


def test_image_depends_on_seed_split_and_number_only():
    first = render_image(1, 'train', 2, SIZE)
    assert (first.image == render_image(1, 'train', 2, SIZE).image).all()
    for other in ((2, 'train', 2), (1, 'val', 2), (1, 'train', 3)):
        assert (first.image != render_image(*other, SIZE).image).any()


def test_scene_does_not_depend_on_size():
    small = render_image(1, 'train', 2, (32, 40))
    large = render_image(1, 'train', 2, (96, 120))
    # Three large pixels to a small one: their middles coincide.
    assert (small.category == large.category[1::3, 1::3]).mean() > 0.999


def test_noise_is_normal():
    noise = _normal_numbers(np.random.default_rng(0), (200, 200, 3))
    assert noise.shape == (200, 200, 3)
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert abs(skew(noise.ravel())) < 0.03
    assert abs(kurtosis(noise.ravel())) < 0.06
