"""Pictures of searched architectures, whatever their kind."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture, PathArchitecture, RoutedArchitecture
from mmbmtas.writing import written_beside

from .paths import paths_figure
from .tree import tree_figure

SUFFIXES = ('.png', '.svg', '.pdf')


def plot_architecture(
    architecture: RoutedArchitecture,
    path: str | os.PathLike,
    layer_madds: Sequence[float] | None = None,
) -> None:
    """Write a picture of a tree or of paths.

    Args:
        architecture: The tree, below which the cost of each layer is drawn if known, or the paths.
        path: File to write; its extension gives the format, ``.png``, ``.svg`` or ``.pdf``.
        layer_madds: Of a tree, multiply-adds of one copy of each layer; by default those in the
            architecture itself, ``architecture.madds['layers']``.

    Raises:
        InputError: The extension is not one of these, or there is not one cost per layer.
    """
    save_figure(_figure(architecture, layer_madds), path)


def architecture_image(architecture: RoutedArchitecture) -> NDArray[np.uint8]:
    """Draw an architecture as an image, RGB ``(H, W, 3)``, for the backends of a visualizer."""
    canvas = FigureCanvasAgg(_figure(architecture, None))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure whole or not at all.

    Raises:
        InputError: The file's extension is not that of a picture.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f'{path}: no picture format {path.suffix!r}, expected .png, .svg or .pdf')
    with written_beside(path) as beside:
        figure.savefig(beside, dpi=200)


def _figure(architecture: RoutedArchitecture, layer_madds: Sequence[float] | None) -> Figure:
    if isinstance(architecture, PathArchitecture):
        return paths_figure(architecture)
    return tree_figure(BranchedArchitecture.of(architecture), layer_madds)
