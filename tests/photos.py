"""Writes a folder of small photographs with masks and depth, as a user might have them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ['sky', 'ground', 'box', 'ball']


def draw_scene(rng, shape):
    """A scene of the four classes: its image, its class map and its depth in metres."""
    height, width = shape
    horizon = int(height * rng.uniform(0.3, 0.5))
    rows = np.arange(height)[:, None] * np.ones((1, width))
    classes = (rows >= horizon).astype(np.uint8)
    depth = np.where(classes == 1, 20 / (1 + 12 * np.maximum(rows - horizon, 0) / height), 30.0)
    for kind in rng.permutation([2, 3, 2, 3])[: rng.integers(2, 5)]:
        size = int(height * rng.uniform(0.15, 0.3))
        x, y = rng.integers(0, width - size), rng.integers(horizon, height - size // 2)
        mask = Image.new('1', (width, height))
        draw = ImageDraw.Draw(mask)
        (draw.rectangle if kind == 2 else draw.ellipse)((x, y - size // 2, x + size, y + size), 1)
        inside = np.array(mask)
        classes[inside] = kind
        depth[inside] = 20 / (1 + 12 * (y + size - horizon) / height)
    colours = np.array([(150, 190, 235), (110, 125, 80), (170, 60, 50), (60, 70, 160)])
    colours = colours + rng.integers(-20, 21, (4, 1))
    shade = 1 - 0.3 * (rows / height)[..., None]
    noise = rng.normal(0, 6, (height, width, 3))
    image = np.clip(colours[classes] * shade + noise, 0, 255).astype(np.uint8)
    return image, classes, depth


def write_photos(root: Path, number: int = 6, shape=(72, 96), missing_depth=1, seed: int = 0):
    """Write ``images/NAME.jpg``, ``masks/NAME_mask.png`` and ``depth/NAME.png`` in millimetres.

    The last ``missing_depth`` images have no depth; depth is 0, unknown, in a corner of all.
    """
    rng = np.random.default_rng(seed)
    for folder in ('images', 'masks', 'depth'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index in range(number):
        image, classes, depth = draw_scene(rng, shape)
        name = f'img_{index:03d}'
        Image.fromarray(image).save(root / 'images' / f'{name}.jpg', quality=90)
        Image.fromarray(classes).save(root / 'masks' / f'{name}_mask.png')
        if index < number - missing_depth:
            millimetres = (depth * 1000).astype(np.uint16)
            millimetres[:6, :9] = 0
            Image.fromarray(millimetres).save(root / 'depth' / f'{name}.png')
    (root / 'classes.txt').write_text(''.join(f'{name}\n' for name in CLASSES))
    return root
