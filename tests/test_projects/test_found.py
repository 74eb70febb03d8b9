"""What new-project sees in a folder: kinds, units, missing, broken and misfit files."""

import shutil

import numpy as np
import pytest
import scipy.io
from PIL import Image

from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.projects import inspect_folder

SHAPE = (24, 32)


@pytest.fixture
def photos(tmp_path, write_photos):
    return write_photos(tmp_path / 'photos', 6, (48, 64))


def blocks(values, seed=0):
    cells = np.random.default_rng(seed).choice(values, (3, 4))
    return np.kron(cells, np.ones((8, 8), cells.dtype))


def folder_of(tmp_path, name, write):
    """A folder of five noisy images and a label each, written by a function of path and seed."""
    root = tmp_path / 'data'
    rng = np.random.default_rng(1)
    for folder in ('images', name):
        (root / folder).mkdir(parents=True)
    for index in range(5):
        image = rng.integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
        Image.fromarray(image).save(root / f'images/{index}.png')
        write(root / name / f'{index}', index)
    return root


def png(make):
    return lambda path, seed: Image.fromarray(make(seed)).save(f'{path}.png')


def smooth(seed, low, high, dtype):
    grid = np.add.outer(np.linspace(0, 0.7, SHAPE[0]), np.linspace(0, 0.29, SHAPE[1]))
    return (low + (high - low) * (grid + seed * 0.001)).astype(dtype)


def random_normals(seed):
    vectors = np.random.default_rng(seed).normal(size=(*SHAPE, 3))
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def coloured(seed):
    table = np.array([[128, 64, 128], [0, 0, 142], [255, 255, 255]], np.uint8)
    return table[blocks([0, 1, 2], seed)]


def test_masks_and_depth_in_millimetres(photos):
    found = inspect_folder(photos)
    assert found.images.pattern == 'images/{stem}.jpg'
    assert len(found.images.files) == 6
    assert found.sizes == {(48, 64): 6}
    depth, mask = found.tasks
    assert (depth.name, mask.name) == ('depth', 'mask')
    assert depth.guess.spec == {
        'kind': 'value', 'shrinks': True, 'invalid': 0, 'scale': 0.001, 'unit': 'm'
    }  # fmt: skip
    assert depth.guess.why.keys() == {'shrinks', 'invalid', 'scale'}
    assert depth.missing == ['images/img_005.jpg']
    assert mask.guess.spec == {'kind': 'classes', 'classes': ['sky', 'ground', 'box', 'ball']}
    assert mask.group.pattern == 'masks/{stem}_mask.png'
    assert not mask.guess.why
    pixels = sum(np.array(Image.open(path)).size for path in (photos / 'masks').iterdir())
    assert sum(mask.facts.counts.values()) == pixels


@pytest.mark.parametrize(
    ('name', 'write', 'spec'),
    [
        ('seg', png(lambda s: blocks([0, 1, 5], s).astype(np.uint8)),
         {'kind': 'classes', 'classes': [f'class {i}' for i in range(6)]}),
        ('seg', png(lambda s: blocks([7, 11, 200, 255], s).astype(np.uint8)),
         {'kind': 'classes', 'ids': [7, 11, 200], 'classes': ['class 7', 'class 11', 'class 200']}),
        ('seg', png(coloured),
         {'kind': 'classes', 'colours': [[0, 0, 142], [128, 64, 128], [255, 255, 255]],
          'classes': ['colour 0 0 142', 'colour 128 64 128', 'colour 255 255 255']}),
        ('cracks', png(lambda s: blocks([0, 255], s).astype(np.uint8)), {'kind': 'binary'}),
        ('cracks', png(lambda s: blocks([0, 1], s).astype(np.uint8)), {'kind': 'binary'}),
        ('cracks', lambda p, s: Image.fromarray(blocks([0, 255], s).astype(np.uint8)).save(
            f'{p}.jpg', quality=90), {'kind': 'binary'}),
        ('normals', png(lambda s: np.rint((random_normals(s) + 1) * 127.5).astype(np.uint8)),
         {'kind': 'normals'}),
        ('field', lambda p, s: np.save(f'{p}.npy', random_normals(s)), {'kind': 'normals'}),
        ('depth', lambda p, s: np.save(f'{p}.npy', smooth(s, 0.8, 9, np.float32)),
         {'kind': 'value', 'shrinks': True, 'unit': 'm'}),
        ('temperature', png(lambda s: smooth(s, 2000, 3000, np.uint16)), {'kind': 'value'}),
        ('height', lambda p, s: scipy.io.savemat(f'{p}.mat', {'z': smooth(s, -3, 9, np.float64)}),
         {'kind': 'value', 'variable': 'z'}),
    ],
)  # fmt: skip
def test_kinds_by_what_is_in_the_files(tmp_path, name, write, spec):
    (task,) = inspect_folder(folder_of(tmp_path, name, write)).tasks
    assert task.name == name
    assert task.guess.spec == spec


def test_colour_pictures_are_left_out_and_said(tmp_path):
    rng = np.random.default_rng(3)
    root = folder_of(
        tmp_path, 'other', png(lambda s: rng.integers(0, 256, (*SHAPE, 3)).astype(np.uint8))
    )
    with pytest.raises(InputError, match=r'found 5 images .* no labels.*other/\{stem\}\.png: col'):
        inspect_folder(root)


def test_broken_and_misfit_files_are_named(photos):
    (photos / 'masks/img_001_mask.png').write_bytes(b'no picture')
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(photos / 'masks/img_002_mask.png')
    (photos / 'images/img_004.jpg').write_bytes((photos / 'images/img_004.jpg').read_bytes()[:200])
    found = inspect_folder(photos)
    _, mask = found.tasks
    assert [*found.unreadable] == ['images/img_004.jpg']
    assert [*mask.facts.unreadable] == ['masks/img_001_mask.png']
    assert mask.wrong_size == ['masks/img_002_mask.png']


def test_too_few_labels_are_left_out(photos):
    for index in range(1, 5):
        (photos / f'depth/img_{index:03d}.png').unlink()
    found = inspect_folder(photos)
    assert [task.name for task in found.tasks] == ['mask']
    assert 'only 1 files' in found.skipped['depth/{stem}.png']


def test_labels_that_never_fit_are_left_out(photos):
    for path in (photos / 'depth').iterdir():
        Image.fromarray(np.ones((9, 9), np.uint16)).save(path)
    found = inspect_folder(photos)
    assert [task.name for task in found.tasks] == ['mask']
    assert 'another size' in found.skipped['depth/{stem}.png']


def test_folders_without_anything_to_train_on(photos, tmp_path):
    with pytest.raises(MissingFileError, match='no such folder'):
        inspect_folder(tmp_path / 'nowhere')
    with pytest.raises(InputError, match='found no images'):
        inspect_folder(_empty(tmp_path))
    shutil.rmtree(photos / 'masks')
    shutil.rmtree(photos / 'depth')
    with pytest.raises(InputError, match=r'found 6 images .* and no labels'):
        inspect_folder(photos)


def _empty(tmp_path):
    (tmp_path / 'empty').mkdir()
    return tmp_path / 'empty'


def test_a_file_of_too_few_names_is_said(tmp_path, write_photos):
    photos = write_photos(tmp_path, 6, (48, 64))
    lists = photos / 'classes.txt'
    names = lists.read_text().split('\n')
    lists.write_text(names[0])
    why = [why for task in inspect_folder(photos).tasks for why in task.guess.why.values()]
    assert any('the file of names has 1, the labels have numbers up to' in text for text in why)


def test_a_missing_folder_is_named_as_the_user_wrote_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'^[^ ]*nosuch is not a folder'):
        inspect_folder(tmp_path / 'nosuch')
