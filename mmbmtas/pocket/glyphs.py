"""Letters and digits in the fonts that matplotlib brings along."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .pictures import Picture

GLYPHS = (*'0123456789', *'ABCDEFGHIJKLMNOPQRSTUVWXYZ', *'abdefghnqrt')
"""The 47 classes of EMNIST (balanced), whose other letters look alike in both cases."""

FONTS = {
    'train': (
        'DejaVuSans',
        'DejaVuSans-Bold',
        'DejaVuSans-Oblique',
        'DejaVuSansMono',
        'DejaVuSerif',
        'DejaVuSerif-Bold',
        'STIXGeneral',
        'STIXGeneralItalic',
        'STIXGeneralBolIta',
        'cmr10',
        'cmtt10',
        'cmb10',
    ),
    'val': ('DejaVuSansMono-Bold', 'DejaVuSerif-Italic', 'STIXGeneralBol', 'cmss10'),
    'test': (
        'DejaVuSans-BoldOblique',
        'DejaVuSansMono-BoldOblique',
        'DejaVuSansMono-Oblique',
        'DejaVuSerif-BoldItalic',
    ),
}
"""Of each split; no font is in two."""

COUNTS = {'train': 4, 'val': 2, 'test': 2}
"""Images of each glyph and font in a split."""

_TURN = 12  # degrees, at most
_SHIFT = 0.06  # of the side, at most
_NOISE = 12.0  # of 255, standard deviation
_SIZES = (18 / 32, 26 / 32)  # of the font, as a share of the side


def draw_glyphs(split: str, rng: np.random.Generator, size: int) -> Iterator[Picture]:
    """Give glyphs of random size, turned by up to 12 degrees, shifted, with noise."""
    folder = Path(matplotlib.get_data_path(), 'fonts', 'ttf')
    for font in FONTS[split]:
        for label, glyph in enumerate(GLYPHS):
            for _ in range(COUNTS[split]):
                points = round(rng.uniform(*_SIZES) * size)
                face = ImageFont.truetype(str(folder / f'{font}.ttf'), points)
                yield Picture(_draw(glyph, face, rng, size), label, font)


def _draw(
    glyph: str, face: ImageFont.FreeTypeFont, rng: np.random.Generator, size: int
) -> np.ndarray:
    """Draw one glyph, bright on dark or dark on bright."""
    paper, ink = (int(value) for value in rng.choice([[30, 220], [220, 30]]))
    picture = Image.new('L', (size, size), paper)
    shift = rng.uniform(-_SHIFT, _SHIFT, 2) * size
    place = (size / 2 + shift[0], size / 2 + shift[1])
    ImageDraw.Draw(picture).text(place, glyph, ink, face, anchor='mm')
    turned = picture.rotate(rng.uniform(-_TURN, _TURN), Image.Resampling.BILINEAR, fillcolor=paper)
    noisy = np.asarray(turned, np.float64) + rng.normal(0, _NOISE, (size, size))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
