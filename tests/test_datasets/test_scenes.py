"""Synthetic scenes: closed forms of the geometry, consistent labels, exact files, safe writing."""

import io
import json
import runpy
import signal
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from mmbmtas.datasets import NYUDv2MT, PascalContextMT
from mmbmtas.datasets.pascal_labels import NORMALS_VALID, PARTS, read_human_parts
from mmbmtas.datasets.scenes import dataset as scenes_dataset
from mmbmtas.datasets.scenes import render_image, write_scenes
from mmbmtas.datasets.scenes.classes import CATEGORIES, CATEGORY_ID, PERSON, lookup
from mmbmtas.datasets.scenes.classes import PARTS as DRAWN_PARTS
from mmbmtas.datasets.scenes.geometry import (
    BOX,
    CAPSULE,
    CYLINDER,
    ELLIPSOID,
    FAR,
    Solids,
    cast,
    cast_room,
    look_at,
    make_view,
    surface,
)
from mmbmtas.datasets.scenes.mat import Struct, save_mat
from mmbmtas.datasets.scenes.writers import boundary
from mmbmtas.structures.palettes import class_palette

SIZE = (48, 64)
TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/synthetic_scenes.py'


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
    _, _, normal = surface(points, index[hit].astype(np.intp), solids)
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
        scene = scenes_dataset.sample_scene(np.random.default_rng([11, 0, number]))
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


def test_context_ids_have_normals_but_for_plants():
    without = {c.name for c in CATEGORIES if not NORMALS_VALID[c.context]}
    assert without == {'plant'}


def test_part_names_are_those_of_the_release():
    assert set(DRAWN_PARTS[1:]) <= set(PARTS)


def test_boundary_compares_east_south_and_south_east():
    labels = np.array([[1, 1, 1], [1, 1, 2], [1, 1, 2]])
    expected = [[False, True, True], [False, True, False], [False, True, False]]
    assert boundary(labels).tolist() == expected


@pytest.fixture(scope='module')
def pascal(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes') / 'pascal'
    assert write_scenes(root, 'pascal', 4, 2, SIZE, seed=5)
    return root


@pytest.fixture(scope='module')
def nyud(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes') / 'nyud'
    assert write_scenes(root, 'nyud', 3, 2, SIZE, seed=5)
    return root


class TestPascalFiles:
    def test_lists(self, pascal):
        ids = [f'train_{i:06d}' for i in range(4)]
        assert (pascal / 'ImageSets/Context/train.txt').read_text().split() == ids
        objects = json.loads((pascal / 'ImageSets/Parts/train.txt').read_text())
        assert list(objects) == ids
        assert {c for classes in objects.values() for c in classes} <= set(range(1, 21))

    def test_image_is_a_full_colour_jpeg(self, pascal):
        with Image.open(pascal / 'JPEGImages/train_000000.jpg') as image:
            assert (image.format, image.mode, image.size) == ('JPEG', 'RGB', (64, 48))
            # 4:4:4: every component is sampled at every pixel.
            assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3

    def test_semseg(self, pascal):
        voc = {p.stem for p in (pascal / 'semseg/VOC12').iterdir()}
        context = {p.stem for p in (pascal / 'semseg/pascal-context').iterdir()}
        assert voc - context
        assert context - voc
        assert voc & context
        truth = render_image(5, 'train', 2, SIZE)
        classes = lookup('voc')[truth.category]
        with Image.open(pascal / 'semseg/pascal-context/train_000002.png') as image:
            assert image.mode == 'P'
            assert image.getpalette()[:48] == np.ravel(class_palette(16)).tolist()
            assert (np.array(image) == classes).all()
        with Image.open(pascal / 'semseg/VOC12/train_000002.png') as image:
            bordered = np.array(image)
        assert ((bordered == classes) | (bordered == 255)).all()

    def test_label_map(self, pascal):
        label_map = scipy.io.loadmat(pascal / 'pascal-context/trainval/val_000001.mat')['LabelMap']
        truth = render_image(5, 'val', 1, SIZE)
        assert label_map.dtype == np.uint16
        assert (label_map == lookup('context')[truth.category]).all()

    def test_parts_structure(self, pascal):
        truth = [render_image(5, 'train', i, SIZE) for i in range(4)]
        seen = set()
        for number, rendering in enumerate(truth):
            path = pascal / f'human_parts/train_{number:06d}.mat'
            anno = scipy.io.loadmat(path)['anno']
            assert anno.shape == (1, 1)
            assert anno.dtype.names == ('imname', 'objects')
            objects = anno['objects'][0, 0]
            assert objects.shape[0] == 1
            assert objects.dtype.names == ('class', 'class_ind', 'mask', 'parts')
            for entry in objects[0]:
                assert entry['class_ind'].shape == (1, 1)
                assert entry['mask'].dtype == np.uint8
                assert entry['mask'].shape == SIZE
                person = entry['class_ind'].item() == 15
                assert person == (entry['class'].item() == 'person')
                assert person or entry['parts'].shape == (0, 0)
                if person:
                    seen |= {p['part_name'].item() for p in entry['parts'].ravel()}
                    assert all((p['mask'] <= entry['mask']).all() for p in entry['parts'].ravel())
            expected = np.array([PARTS.get(name, 0) for name in DRAWN_PARTS])[rendering.part]
            assert (read_human_parts(str(path), SIZE) == expected).all()
        assert {'torso', 'head', 'luleg'} <= seen

    def test_normals_and_saliency(self, pascal):
        truth = render_image(5, 'train', 1, SIZE)
        stored = np.array(Image.open(pascal / 'normals_distill/train_000001.png')) / 127.5 - 1
        assert np.abs(stored - truth.normals).max() < 1 / 255 + 1e-6
        saliency = Image.open(pascal / 'sal_distill/train_000001.png')
        assert saliency.mode == 'L'
        assert ((np.array(saliency) / 255 > 0.5) == truth.salient).all()

    def test_loads(self, pascal):
        pipeline = [
            dict(type=f'mmbmtas.{t}') for t in ('LoadSampleImage', 'LoadPascalContextLabels')
        ]
        dataset = PascalContextMT(
            data_root=str(pascal),
            split='train',
            tasks=['semseg', 'human_parts', 'saliency', 'normals'],
            pipeline=pipeline,
        )
        assert len(dataset) == 4
        assert dataset[0]['gt_normals'].shape == (*SIZE, 3)


class TestMat:
    """Our files hold what `scipy.io.savemat` would have written, to the byte."""

    def check(self, tmp_path, value, for_scipy):
        save_mat(tmp_path / 'a.mat', 'anno', value)
        expected = io.BytesIO()
        scipy.io.savemat(expected, {'anno': for_scipy})
        content = (tmp_path / 'a.mat').read_bytes()
        assert zlib.decompress(content[136:]) == expected.getvalue()[128:]
        assert content[124:128] == expected.getvalue()[124:128]
        return scipy.io.loadmat(tmp_path / 'a.mat')['anno']

    @pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
    @pytest.mark.parametrize('shape', [(0, 0), (1, 1), (2, 2), (3, 5), (8, 1)])
    @pytest.mark.parametrize('order', 'CF')
    def test_array(self, tmp_path, dtype, shape, order):
        array = np.arange(np.prod(shape), dtype=dtype).reshape(shape, order=order)
        loaded = self.check(tmp_path, array, array)
        assert loaded.dtype == dtype
        assert (loaded == array).all()

    @pytest.mark.parametrize('text', ['cow', 'train_000001', 'a', 'potted plant'])
    def test_text(self, tmp_path, text):
        assert self.check(tmp_path, text, text).item() == text

    @pytest.mark.parametrize('count', [0, 1, 3])
    def test_structures(self, tmp_path, count):
        ids = [np.full((1, 1), i, np.uint8) for i in range(count)]
        inner = Struct(('class', 'class_ind'), [(f'kind {i}', ids[i]) for i in range(count)])
        of_scipy = np.empty((1, count), [('class', object), ('class_ind', object)])
        for i in range(count):
            of_scipy[0, i] = (f'kind {i}', ids[i])
        outer = Struct(('imname', 'objects'), [('x', inner)])
        loaded = self.check(tmp_path, outer, {'imname': 'x', 'objects': of_scipy})
        assert loaded.shape == (1, 1)
        assert loaded['objects'][0, 0].shape == (1, count)
        assert [o['class'].item() for o in loaded['objects'][0, 0][0]] == [
            f'kind {i}' for i in range(count)
        ]


class TestNyudFiles:
    def test_labels(self, nyud):
        assert (nyud / 'gt_sets/val.txt').read_text() == 'val_000000\nval_000001\n'
        truth = render_image(5, 'val', 1, SIZE)

        def array(folder):
            return np.load(nyud / folder / 'val_000001.npy')

        assert (array('depth') == truth.depth).all()
        assert (array('normals') == truth.normals).all()
        assert set(np.unique(array('edge'))) == {0, 1}
        with Image.open(nyud / 'segmentation/val_000001.png') as image:
            assert image.mode == 'P'
            stored = np.array(image)
        assert (stored == lookup('nyu')[truth.category]).all()
        assert stored.min() >= 1
        assert stored.max() <= 40

    def test_loads(self, nyud):
        pipeline = [dict(type=f'mmbmtas.{t}') for t in ('LoadSampleImage', 'LoadNYUDv2Labels')]
        tasks = ['semseg', 'depth', 'normals', 'edge']
        dataset = NYUDv2MT(data_root=str(nyud), split='val', tasks=tasks, pipeline=pipeline)
        assert dataset[0]['gt_depth'].shape == SIZE


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob('*') if p.is_file()}


class TestWriting:
    @pytest.mark.parametrize('layout', ['pascal', 'nyud'])
    def test_same_bytes_whatever_the_jobs(self, tmp_path, layout, request):
        request.getfixturevalue(layout)
        write_scenes(tmp_path / 'one', layout, 3, 2, SIZE, seed=5)
        write_scenes(tmp_path / 'two', layout, 3, 2, SIZE, seed=5, jobs=2)
        assert contents(tmp_path / 'one') == contents(tmp_path / 'two')

    def test_images_do_not_depend_on_how_many(self, tmp_path, nyud):
        write_scenes(tmp_path / 'few', 'nyud', 1, 1, SIZE, seed=5)
        few, many = contents(tmp_path / 'few'), contents(nyud)
        same = [path for path in few if path.suffix in ('.npy', '.jpg', '.png')]
        assert len(same) == 10
        assert all(few[path] == many[path] for path in same)

    def test_same_request_is_a_no_op(self, nyud):
        before = {p: p.stat().st_mtime_ns for p in nyud.rglob('*')}
        assert not write_scenes(nyud, 'nyud', 3, 2, SIZE, seed=5)
        assert before == {p: p.stat().st_mtime_ns for p in nyud.rglob('*')}

    def test_refuses_to_overwrite(self, tmp_path):
        (tmp_path / 'precious.txt').write_text('mine')
        with pytest.raises(FileExistsError, match='--overwrite'):
            write_scenes(tmp_path, 'nyud', 1, 1, SIZE)
        assert [p.name for p in tmp_path.iterdir()] == ['precious.txt']

    def test_overwrites_when_told(self, tmp_path):
        root = tmp_path / 'scenes'
        root.mkdir()
        (root / 'old.txt').write_text('old')
        assert write_scenes(root, 'nyud', 1, 0, SIZE, overwrite=True)
        assert not (root / 'old.txt').exists()
        assert [p.name for p in tmp_path.iterdir()] == ['scenes']

    @pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
    @pytest.mark.parametrize('old', [True, False])
    def test_interrupt_leaves_nothing_behind(self, tmp_path, monkeypatch, error, old):
        root = tmp_path / 'scenes'
        if old:
            root.mkdir()
            (root / 'old.txt').write_text('old')
        write = scenes_dataset.write_nyud

        def fail(folder, name, rendering):
            write(folder, name, rendering)
            if name == 'train_000001':
                raise error

        monkeypatch.setattr(scenes_dataset, 'write_nyud', fail)
        with pytest.raises(error):
            write_scenes(root, 'nyud', 3, 0, SIZE, overwrite=True)
        assert [p.name for p in tmp_path.rglob('*')] == (['scenes', 'old.txt'] if old else [])

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            ({'layout': 'coco'}, 'layout must be one of pascal, nyud'),
            ({'train': -1}, 'train must be at least 0'),
            ({'size': (8, 64)}, 'height must be at least 16'),
            ({'jobs': 0}, 'jobs must be at least 1'),
            ({'seed': -3}, 'seed must be at least 0'),
        ],
    )
    def test_arguments_are_checked(self, tmp_path, change, message):
        arguments = {'layout': 'nyud', 'train': 1, 'val': 1, 'size': SIZE} | change
        with pytest.raises(ValueError, match=message):
            write_scenes(tmp_path / 'scenes', **arguments)
        assert not list(tmp_path.iterdir())

    def test_command_line(self, tmp_path, monkeypatch, capsys):
        command = [str(TOOL), str(tmp_path / 'scenes'), '--layout', 'nyud']
        command += ['--val', '1', '--size', '32', '40', '--train']
        # The tool takes SIGTERM over, which must not outlive the test.
        monkeypatch.setattr(signal, 'signal', lambda *_: None)

        def run(train):
            monkeypatch.setattr(sys, 'argv', [*command, train])
            runpy.run_path(str(TOOL), run_name='__main__')
            return capsys.readouterr()

        first = run('2')
        assert 'Wrote 2 training' in first.out
        assert 'ETA' in first.err
        assert 'Nothing to do' in run('2').out
        with pytest.raises(SystemExit) as refusal:
            run('3')
        assert refusal.value.code == 2
        assert capsys.readouterr().err.count('\n') == 1
