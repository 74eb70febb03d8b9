"""Writes small data folders in the formats of PASCAL_MT, NYUD_MT and the pocket domains."""

from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

from mmbmtas.pocket.pictures import Picture
from mmbmtas.pocket.writer import _write_split
from mmbmtas.structures.palettes import class_palette

PASCAL_SIZES = {'2008_000001': (40, 56), '2008_000002': (37, 51), '2008_000003': (44, 33)}
NYUD_SIZE = (35, 44)
NYUD_IDS = {'train': ['0001', '0002', 'kitchen_3'], 'val': ['9001', '9002']}


def blocks(rng, shape, values, cell=8):
    """A map of square cells, like regions."""
    rows, columns = -(-shape[0] // cell), -(-shape[1] // cell)
    cells = rng.choice(values, (rows, columns))
    return np.kron(cells, np.ones((cell, cell), cells.dtype))[: shape[0], : shape[1]]


def save_palette_png(path, indices):
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(np.array(class_palette(256), np.uint8).ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def save_image(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def save_text(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{line}\n' for line in lines))


def random_normals(rng, shape):
    normals = rng.normal(size=(*shape, 3))
    normals[..., 2] = np.abs(normals[..., 2]) + 0.5
    return (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)


def save_parts(path, img_id, objects):
    """Save objects, each ``(class_ind, mask, [(part name, mask), ...])``, as MATLAB writes them."""
    entry = np.zeros(
        (1, len(objects)), [(k, object) for k in ('class', 'class_ind', 'mask', 'parts')]
    )
    for index, (class_ind, mask, parts) in enumerate(objects):
        part_array = np.zeros((1, len(parts)), [('part_name', object), ('mask', object)])
        for p, (name, part_mask) in enumerate(parts):
            part_array[0, p] = (name, part_mask.astype(np.uint8))
        saved_parts = part_array if parts else np.zeros((0, 0))
        name = 'person' if class_ind == 15 else 'cat'
        entry[0, index] = (name, class_ind, mask.astype(np.uint8), saved_parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {'anno': {'imname': img_id, 'objects': entry}}, do_compression=True)


def box(shape, top, left, bottom, right):
    mask = np.zeros(shape, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def people(shape):
    """A cat, a person with parts that overlap, and a person without parts."""
    whole = np.ones(shape, np.uint8)
    return [
        (8, whole, []),
        (
            15,
            whole,
            [
                ('torso', box(shape, 8, 4, 24, 20)),
                ('head', box(shape, 4, 8, 12, 16)),
                ('lear', box(shape, 4, 15, 8, 18)),
                ('rfoot', box(shape, 28, 6, 32, 12)),
            ],
        ),
        (15, whole, []),
    ]


def write_pascal(root: Path, seed: int = 0) -> Path:
    """Three images in both splits: with people, with a cat, and with a person without parts."""
    rng = np.random.default_rng(seed)
    for split in ('train', 'val'):
        save_text(root / 'ImageSets/Context' / f'{split}.txt', PASCAL_SIZES)
    for index, (img_id, shape) in enumerate(PASCAL_SIZES.items()):
        image = blocks(rng, (*shape,), np.arange(30, 220, 10).astype(np.uint8))
        save_image(
            root / 'JPEGImages' / f'{img_id}.jpg', np.stack([image, image // 2, 255 - image], -1)
        )
        label_map = blocks(rng, shape, np.array([0, 1, 3, 4, 258, 284, 454, 459], np.uint16))
        path = root / 'pascal-context/trainval' / f'{img_id}.mat'
        path.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(path, {'LabelMap': label_map}, do_compression=True)
        classes = np.array([0, 2, 15, 20, 255], np.uint8)
        save_palette_png(
            root / 'semseg/pascal-context' / f'{img_id}.png', blocks(rng, shape, classes)
        )
        if index == 0:
            save_palette_png(root / 'semseg/VOC12' / f'{img_id}.png', np.full(shape, 7, np.uint8))
        objects = [people(shape), people(shape)[:1], people(shape)[2:]][index]
        save_parts(root / 'human_parts' / f'{img_id}.mat', img_id, objects)
        colours = np.round((random_normals(rng, shape) + 1) / 2 * 255).astype(np.uint8)
        colours[:2, :2] = 128
        save_image(root / 'normals_distill' / f'{img_id}.png', colours)
        saliency = blocks(rng, shape, np.array([0, 127, 128, 255], np.uint8))
        save_image(root / 'sal_distill' / f'{img_id}.png', saliency)
    return root


def write_nyud(root: Path, packaging: str, seed: int = 0) -> Path:
    """Five images of one size; ``packaging`` is A, B or C."""
    rng = np.random.default_rng(seed)
    for split, ids in NYUD_IDS.items():
        save_text(root / 'gt_sets' / f'{split}.txt', ids)
        for img_id in ids:
            write_nyud_sample(root, img_id, packaging, *nyud_sample(rng, NYUD_SIZE))
    return root


def nyud_sample(rng, shape):
    """Image, stored classes 0..40, edges 0/1, normals and depth of a random scene."""
    image = blocks(rng, shape, np.arange(30, 220, 10).astype(np.uint8))
    classes = blocks(rng, shape, np.array([0, 1, 2, 40], np.uint8))
    edge = (rng.random(shape) > 0.9).astype(np.uint8)
    normals = random_normals(rng, shape)
    depth = rng.uniform(0.7, 9.9, shape).astype(np.float32)
    depth[:3, :4] = 0
    return np.stack([image, image, 255 - image], -1), classes, edge, normals, depth


def write_nyud_sample(root, img_id, packaging, image, classes, edge, normals, depth):
    """Write one sample as packaging A, B or C stores it."""

    def path(folder, ending):
        file = root / folder / f'{img_id}.{ending}'
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    colours = np.round((normals + 1) / 2 * 255).astype(np.uint8)
    save_image(path('images', 'png' if packaging == 'C' else 'jpg'), image)
    if packaging == 'A':
        scipy.io.savemat(path('segmentation', 'mat'), {'segmentation': classes.astype(np.float64)})
        scipy.io.savemat(path('depth', 'mat'), {'depth': depth})
        save_image(path('normals', 'jpg'), colours, quality=100, subsampling=0)
    else:
        save_palette_png(path('segmentation', 'png'), classes)
        np.save(path('depth', 'npy'), depth.astype(np.float64))
    if packaging == 'B':
        np.save(path('edge', 'npy'), edge.astype(np.float64))
        np.save(path('normals', 'npy'), normals)
    else:
        save_image(path('edge', 'png'), edge * np.uint8(255))
    if packaging == 'C':
        save_image(path('normals', 'png'), colours)


def write_pocket(root: Path) -> Path:
    """Two domains of drawn noise in the layout of the pocket domains."""
    (root / 'annotations').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, classes in (('digits', 10), ('faces', 2)):
        for split, count in (('train', 20), ('val', 6)):
            drawn = [
                Picture(rng.integers(0, 256, (32, 32), np.uint8), i % classes, '')
                for i in range(count)
            ]
            _write_split(root, name, split, iter(drawn))
    return root
