"""Image files as users have them."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mmbmtas.apis import list_photos, read_photo
from mmbmtas.apis.photos import as_bgr, unique_names


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_colours_come_as_bgr(colours, tmp_path):
    Image.fromarray(colours).save(tmp_path / 'a.png')
    found = read_photo(tmp_path / 'a.png')
    assert np.array_equal(found, colours[..., ::-1])
    assert np.array_equal(found, cv2.imread(str(tmp_path / 'a.png')))


@pytest.mark.parametrize('mode', ['L', 'P', '1'])
def test_grey_and_palette_images(colours, tmp_path, mode):
    Image.fromarray(colours).convert(mode).save(tmp_path / 'a.png')
    found = read_photo(str(tmp_path / 'a.png'))
    assert np.array_equal(found, cv2.imread(str(tmp_path / 'a.png')))


def test_sixteen_bits(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (4, 6), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / 'grey.png')
    expected = np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=-1)
    assert np.array_equal(read_photo(tmp_path / 'grey.png'), expected)
    cv2.imwrite(str(tmp_path / 'colour.png'), np.repeat(values[..., None], 3, axis=-1))
    assert np.array_equal(read_photo(tmp_path / 'colour.png'), expected)


def test_transparent_pixels_show_white(colours, tmp_path):
    opacity = np.zeros((5, 7, 1), np.uint8)
    opacity[:, :3] = 255
    Image.fromarray(np.concatenate([colours, opacity], axis=-1)).save(tmp_path / 'a.png')
    found = read_photo(tmp_path / 'a.png')
    assert np.array_equal(found[:, :3], colours[:, :3, ::-1])
    assert (found[:, 3:] == 255).all()
    array = np.concatenate([colours[..., ::-1], opacity], axis=-1)
    assert np.array_equal(as_bgr(array), found)


def test_photos_are_turned_as_their_exif_data_say(colours, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    Image.fromarray(colours).save(tmp_path / 'a.png', exif=exif)
    found = read_photo(tmp_path / 'a.png')
    assert np.array_equal(found[..., ::-1], np.rot90(colours, -1))


def test_unreadable_files_are_named(colours, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    for ending in ('png', 'jpg'):
        path = tmp_path / f'cut.{ending}'
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:3000])
        with pytest.raises(ValueError, match=rf'cut\.{ending}: expected a readable image.*trunc'):
            read_photo(path)
    (tmp_path / 'empty.png').touch()
    with pytest.raises(ValueError, match=r'empty\.png: expected a readable image'):
        read_photo(tmp_path / 'empty.png')
    with pytest.raises(FileNotFoundError, match=r'lost\.png is not an image file'):
        read_photo(tmp_path / 'lost.png')
    Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / 'real.tiff')
    with pytest.raises(ValueError, match=r'real\.tiff: expected 8 or 16 bits'):
        read_photo(tmp_path / 'real.tiff')


@pytest.mark.parametrize(
    ('array', 'message'),
    [
        (np.zeros((4, 4, 3)), 'uint8 or uint16, found float64'),
        (np.zeros((4, 4, 2), np.uint8), r'found shape \(4, 4, 2\)'),
        (np.zeros((0, 4, 3), np.uint8), r'found shape \(0, 4, 3\)'),
        (np.zeros(4, np.uint8), r'found shape \(4,\)'),
    ],
)
def test_arrays_that_are_no_images(array, message):
    with pytest.raises(ValueError, match=message):
        as_bgr(array)


def test_folders_and_names(colours, tmp_path):
    for name in ('b.png', 'a.JPG', 'notes.txt', 'more/a.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list_photos([tmp_path, str(tmp_path / 'more/a.png'), colours])
    assert found[:3] == [tmp_path / 'a.JPG', tmp_path / 'b.png', str(tmp_path / 'more/a.png')]
    assert unique_names(found) == ['a', 'b', 'a_2', 'image']
    assert list_photos('x.png') == ['x.png']
    assert len(list_photos(colours)) == 1
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='empty: expected image files'):
        list_photos(tmp_path / 'empty')
