"""Put an image and the pictures of its tasks side by side in one sheet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .label_maps import VIRIDIS, Legend

_INK = (25, 25, 25)
_FAINT = (130, 130, 130)
_GAP = 10
_LINE = 19
_SWATCH = 13
_MAX_LEGEND_ROWS = 8
_MAX_WIDTH = 2000
_MIN_CELL = (150, _LINE)
_ABSENT = {'truth': 'no label', 'prediction': 'no prediction'}


@dataclass(frozen=True)
class Column:
    """The pictures of one task.

    Attributes:
        name: Task name, printed above.
        truth: RGB uint8, ``(H, W, 3)``, or None if the sample has no label.
        prediction: RGB uint8, ``(H, W, 3)``, or None if there is no prediction.
        legend: Meaning of the colours, printed below.
    """

    name: str
    truth: np.ndarray | None = None
    prediction: np.ndarray | None = None
    legend: Legend = field(default_factory=Legend)


def draw_contact_sheet(
    image: np.ndarray, columns: Sequence[Column], title: str = '', cell_height: int = 240
) -> np.ndarray:
    """Draw image, truth and prediction of every task in one sheet.

    The image is on the left. Each task has a column with its name, the truth, the prediction and
    the legend. Rows without any picture are left out.

    Args:
        image: RGB uint8, ``(H, W, 3)``.
        columns: The tasks' pictures.
        title: Printed on top.
        cell_height: Height of each picture in pixels. It is reduced if the sheet would be wider
            than 2000 pixels. Columns are at least 150 pixels wide, for their legends.

    Returns:
        The sheet, RGB uint8.
    """
    rows = [
        row for row in ('truth', 'prediction') if any(getattr(c, row) is not None for c in columns)
    ] or ['truth']
    left = _GAP + _text_width('prediction') + _GAP
    cell = _cell_size(
        image.shape[:2], cell_height, (_MAX_WIDTH - left) // (len(columns) + 1) - _GAP
    )
    top = _GAP + _LINE * 2 + _GAP
    legend_top = top + len(rows) * (cell[1] + _GAP)
    legend_rows = max((_legend_rows(c.legend, cell[0]) for c in columns), default=0)
    size = (
        left + (len(columns) + 1) * (cell[0] + _GAP),
        legend_top + max(1, legend_rows) * _LINE + _GAP,
    )
    sheet = Image.new('RGB', size, 'white')
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, _FAINT, _font())
    draw.text((left, top - _LINE - 4), 'image', _INK, _font(bold=True))
    sheet.paste(_fit(image, cell, smooth=True), (left, top))
    for row, name in enumerate(rows):
        draw.text((_GAP, top + row * (cell[1] + _GAP) + 2), name, _FAINT, _font())
    for index, column in enumerate(columns, start=1):
        x = left + index * (cell[0] + _GAP)
        draw.text((x, top - _LINE - 4), column.name, _INK, _font(bold=True))
        for row, name in enumerate(rows):
            picture = getattr(column, name)
            corner = (x, top + row * (cell[1] + _GAP))
            if picture is None:
                draw.rectangle((*corner, x + cell[0], corner[1] + cell[1]), outline=(220, 220, 220))
                draw.text((x + 8, corner[1] + 6), _ABSENT[name], _FAINT, _font())
            else:
                sheet.paste(_fit(picture, cell), corner)
        _draw_legend(draw, sheet, column.legend, (x, legend_top), cell[0])
    return np.asarray(sheet)


def _cell_size(shape: tuple[int, int], height: int, most_wide: int) -> tuple[int, int]:
    """Compute width and height of the cells from an image's height and width."""
    scale = min(height / shape[0], max(most_wide, _MIN_CELL[0]) / shape[1])
    return max(_MIN_CELL[0], round(shape[1] * scale)), max(_MIN_CELL[1], round(shape[0] * scale))


@cache
def _font(bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font that comes with matplotlib."""
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', name)), 13)


def _text_width(text: str) -> int:
    return int(_font().getlength(text)) + 1


def _fit(picture: np.ndarray, cell: tuple[int, int], smooth: bool = False) -> Image.Image:
    """Fit a picture into a cell: shrinking keeps thin lines, growing keeps pixels sharp."""
    height, width = picture.shape[:2]
    scale = min(cell[0] / width, cell[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    growing = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    interpolation = cv2.INTER_AREA if scale < 1 else growing
    return Image.fromarray(
        cv2.resize(np.ascontiguousarray(picture), size, interpolation=interpolation)
    )


def _entries_per_row(width: int) -> int:
    return max(1, width // 118)


def _legend_rows(legend: Legend, width: int) -> int:
    """Count the lines of text of a legend."""
    rows = -(-len(legend.entries) // _entries_per_row(width))
    return min(rows, _MAX_LEGEND_ROWS) + 2 * (legend.scale is not None)


def _draw_legend(
    draw: ImageDraw.ImageDraw,
    sheet: Image.Image,
    legend: Legend,
    corner: tuple[int, int],
    width: int,
) -> None:
    """Draw a colour scale, if there is one, and the named colours below it."""
    x, y = corner
    if legend.scale is not None:
        low, high, unit = legend.scale
        sheet.paste(Image.fromarray(VIRIDIS[None]).resize((width, _SWATCH)), (x, y))
        right = f'{high:.3g} {unit}'.strip()
        draw.text((x, y + _LINE - 4), f'{low:.3g} {unit}'.strip(), _INK, _font())
        draw.text((x + width - _text_width(right), y + _LINE - 4), right, _INK, _font())
        y += 2 * _LINE
    per_row = _entries_per_row(width)
    shown = legend.entries
    if len(shown) > per_row * _MAX_LEGEND_ROWS:
        shown = shown[: per_row * _MAX_LEGEND_ROWS - 1]
    step = width // per_row
    for index, (colour, name) in enumerate(shown):
        at = (x + index % per_row * step, y + index // per_row * _LINE)
        box = (at[0], at[1] + 1, at[0] + _SWATCH, at[1] + 1 + _SWATCH)
        draw.rectangle(box, fill=colour, outline=_FAINT)
        draw.text((at[0] + _SWATCH + 5, at[1]), _shorten(name, step - _SWATCH - 8), _INK, _font())
    if len(shown) < len(legend.entries):
        at = (x + len(shown) % per_row * step, y + len(shown) // per_row * _LINE)
        draw.text(at, f'and {len(legend.entries) - len(shown)} more', _FAINT, _font())


def _shorten(text: str, width: int) -> str:
    """Cut a text with an ellipsis if it is wider than a number of pixels."""
    if _text_width(text) <= width:
        return text
    while text and _text_width(text + '…') > width:
        text = text[:-1]
    return text + '…'
