"""Images and label images: every form of the same content reads the same, whoever reads it."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmbmtas.apis import read_photo
from mmbmtas.datasets.transforms import LoadSampleImage
from mmbmtas.reading import is_turned, read_grey, read_image, read_index_image, read_mask

MASK = np.zeros((6, 8), np.uint8)
MASK[1:4, 2:5] = 1


def save_png_of_few_bits(path, values, bits):
    """Write a grey PNG of 1, 2 or 4 bits, as its specification says."""
    rows = []
    for row in values:
        word = ''.join(f'{value:0{bits}b}' for value in row)
        word += '0' * (-len(word) % 8)
        rows.append(bytes([0]) + int(word, 2).to_bytes(len(word) // 8, 'big'))

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', crc)

    head = struct.pack('>IIBBBBB', values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    body = zlib.compress(b''.join(rows))
    content = chunk(b'IHDR', head) + chunk(b'IDAT', body) + chunk(b'IEND', b'')
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + content)


def save(path, form, mask=MASK):
    """Write a mask in one of the forms in which masks come."""
    if form.startswith('bits'):
        bits = int(form[4])
        save_png_of_few_bits(path, mask * (2**bits - 1 if form.endswith('full') else 1), bits)
    elif form == 'npy':
        np.save(path, mask.astype(bool))
    elif form == 'npy 255':
        np.save(path, mask * np.uint8(255))
    elif form == 'grey 255':
        Image.fromarray(mask * np.uint8(255)).save(path)
    elif form == '1-bit':
        Image.fromarray(mask.astype(bool)).save(path)
    else:
        inverse = form == 'white first'
        picture = Image.fromarray(1 - mask if inverse else mask)
        if form in ('palette', 'white first'):
            picture.putpalette([255, 255, 255, 0, 0, 0] if inverse else [0, 0, 0, 255, 255, 255])
        elif form == 'VOC palette':
            picture.putpalette([0, 0, 0, 128, 0, 0])
        elif form == 'black palette':
            picture.putpalette([0] * 6)
        picture.save(path)


FORMS = (
    '1-bit',
    'bits1',
    'bits2',
    'bits2 full',
    'bits4 full',
    'grey 1',
    'grey 255',
    'palette',
    'white first',
    'VOC palette',
    'black palette',
    'npy',
    'npy 255',
)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('content', ['some', 'none', 'all'])
def test_masks_of_every_form_read_the_same(tmp_path, form, content):
    mask = {'some': MASK, 'none': MASK * 0, 'all': MASK * 0 + 1}[content].astype(np.uint8)
    path = tmp_path / ('mask.npy' if form.startswith('npy') else 'mask.png')
    save(path, form, mask)
    found = read_mask(path)
    assert found.dtype == np.uint8
    assert np.array_equal(found, mask)


def test_soft_masks_are_cut_at_a_half(tmp_path):
    values = np.array([[0, 1, 100, 127, 128, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / 'soft.png')
    assert read_mask(tmp_path / 'soft.png').tolist() == [[0, 0, 0, 0, 1, 1]]
    np.save(tmp_path / 'soft.npy', values / 255)
    assert read_mask(tmp_path / 'soft.npy').tolist() == [[0, 0, 0, 0, 1, 1]]


def test_masks_that_say_two_things_are_refused(tmp_path):
    path = tmp_path / 'both.png'
    Image.fromarray(np.array([[0, 1, 255]], np.uint8)).save(path)
    with pytest.raises(ValueError, match=r'both\.png: .* found 0, 1 and 255'):
        read_mask(path)
    picture = Image.fromarray(np.array([[0, 15, 15]], np.uint8))
    picture.putpalette([n for i in range(16) for n in (i, 0, 9 * i)])
    picture.save(path)
    with pytest.raises(ValueError, match=r'both\.png: .* found the palette indices 0, 15'):
        read_mask(path)


def test_masks_of_dark_values_are_refused(tmp_path):
    # A label of person, of three classes, of a dark palette: none of them is background alone.
    for values, palette in (([0, 15], None), ([0, 1, 2], None), ([0, 1], [0] * 3 + [90] * 3)):
        picture = Image.fromarray(np.array([values], np.uint8))
        if palette:
            picture.putpalette(palette)
        picture.save(tmp_path / 'dark.png')
        with pytest.raises(ValueError, match=r'dark\.png: .* the values 0, .* is unclear'):
            read_mask(tmp_path / 'dark.png')


def test_transparent_grey_of_16_bits_shows_white(tmp_path):
    values = np.array([[0, 257, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / 'a.png')
    content = (tmp_path / 'a.png').read_bytes()
    data = b'tRNS' + struct.pack('>H', 257)
    chunk = struct.pack('>I', 2) + data + struct.pack('>I', zlib.crc32(data))
    (tmp_path / 'a.png').write_bytes(content[:33] + chunk + content[33:])  # after the header
    assert read_image(tmp_path / 'a.png')[0, :, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_indices_of_few_bits_are_as_stored(tmp_path, bits):
    values = np.arange(48).reshape(6, 8) % 2**bits
    save_png_of_few_bits(tmp_path / 'a.png', values, bits)
    assert np.array_equal(read_index_image(tmp_path / 'a.png'), values)


def pictures():
    """Image files that readers have taken for different things, and what a viewer shows of them."""
    rng = np.random.default_rng(0)
    deep = np.linspace(0, 65535, 48).reshape(6, 8).astype(np.uint16)
    colour = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    half = np.full((6, 8), 128, np.uint8)
    grey = colour[..., 0]
    on_white = colour * (128 / 255) + 255 * (127 / 255)
    return {
        '16 bits': (Image.fromarray(deep), np.repeat(deep[..., None] // 256, 3, -1), 0),
        'RGBA': (Image.fromarray(np.dstack([colour, half])), on_white, 1),
        'LA': (Image.fromarray(np.dstack([grey, half])), np.repeat(on_white[..., :1], 3, -1), 1),
        'colour': (Image.fromarray(colour), colour, 0),
    }


@pytest.mark.parametrize('name', ['16 bits', 'RGBA', 'LA', 'colour'])
@pytest.mark.parametrize('turned', [False, True])
def test_training_and_inference_see_what_a_viewer_shows(tmp_path, name, turned):
    picture, shown, rounding = pictures()[name]
    path = tmp_path / 'a.png'
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6  # to be turned clockwise by a quarter
        shown = np.rot90(shown, -1)
    picture.save(path, exif=exif)
    assert is_turned(path) is turned
    trained = LoadSampleImage()({'img_path': str(path)})
    for image in (trained['img'], read_photo(path), read_image(str(path))):
        assert image.dtype == np.uint8
        assert np.abs(image[..., ::-1] - shown).max() <= rounding
    assert trained['ori_shape'] == ((8, 6) if turned else (6, 8))


def test_labels_are_turned_with_their_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(MASK * np.uint8(255)).save(tmp_path / 'a.png', exif=exif)
    assert np.array_equal(read_mask(tmp_path / 'a.png'), MASK[::-1, ::-1])


@pytest.mark.parametrize('form', ['grey 255', '1-bit', 'palette', 'white first', 'bits4 full'])
def test_grey_is_what_viewers_show(tmp_path, form):
    save(tmp_path / 'a.png', form)
    assert np.array_equal(read_grey(tmp_path / 'a.png'), MASK * np.uint8(255))


@pytest.mark.parametrize('reader', [read_image, read_index_image, read_mask, read_grey])
def test_missing_and_damaged_files_are_named(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match=r'lost\.png is not an image file'):
        reader(tmp_path / 'lost.png')
    (tmp_path / 'text.png').write_text('none')
    with pytest.raises(ValueError, match=r'text\.png: expected a readable'):
        reader(tmp_path / 'text.png')
