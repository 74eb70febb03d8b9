"""Image files in the formats of the releases."""

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmbmtas.structures.palettes import class_palette

_PALETTE = np.array(class_palette(256), np.uint8).tobytes()


def save_jpeg(path: Path, image: NDArray[np.uint8]) -> None:
    """Write RGB as JPEG of quality 95 with full colour resolution."""
    Image.fromarray(image).save(path, quality=95, subsampling=0)


def save_palette_png(path: Path, labels: NDArray[np.uint8]) -> None:
    """Write class indices as PNG with PASCAL VOC's palette."""
    picture = Image.fromarray(labels)
    picture.putpalette(_PALETTE)
    picture.save(path, compress_level=3, compress_type=zlib.Z_RLE)
