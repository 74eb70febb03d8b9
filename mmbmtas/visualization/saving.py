"""How figures become files."""

import os

import matplotlib
from matplotlib.figure import Figure

from mmbmtas.writing import written_beside


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = 150) -> None:
    """Write a figure; its file appears whole.

    Text in PDF is in TrueType fonts, which journals ask for, rather than matplotlib's Type 3.

    Args:
        figure: The figure.
        path: The file, whose extension gives the format.
        dpi: Pixels per inch of formats that have pixels.
    """
    fonts = {'pdf.fonttype': 42, 'ps.fonttype': 42}
    with written_beside(path) as beside, matplotlib.rc_context(fonts):
        figure.savefig(beside, dpi=dpi)
