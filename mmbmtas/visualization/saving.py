"""Writes figures to files."""

import os
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from mmbmtas.errors import InputError
from mmbmtas.writing import written_beside


def picture_place(path: str | os.PathLike) -> Path:
    """Return a path whose extension says how a picture is written.

    Raises:
        ValueError: It does not.
    """
    path = Path(path)
    if path.suffix.lower() not in ('.png', '.svg', '.pdf'):
        raise InputError(
            f'{path}: not a picture format: {path.suffix!r}, expected .png, .svg or .pdf'
        )
    return path


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = 150) -> None:
    """Write a figure; its file appears whole.

    Text in PDF is in TrueType fonts, which journals ask for, rather than matplotlib's Type 3.

    Args:
        figure: The figure.
        path: The file, whose extension gives the format.
        dpi: Pixels per inch of formats that have pixels.
    """
    fonts: Any = {'pdf.fonttype': 42, 'ps.fonttype': 42}
    with written_beside(path) as beside, matplotlib.rc_context(fonts):
        figure.savefig(beside, dpi=dpi)
