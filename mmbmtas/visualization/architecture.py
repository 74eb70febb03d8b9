"""Pictures of searched architectures, whatever their kind."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmbmtas.structures import BranchedArchitecture, PathArchitecture, RoutedArchitecture
from mmbmtas.visualization.saving import picture_place, save_figure

from .paths import paths_figure
from .tree import tree_figure


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
    place = picture_place(path)
    save_figure(_figure(architecture, layer_madds), place, dpi=200)


def architecture_image(architecture: RoutedArchitecture) -> NDArray[np.uint8]:
    """Draw an architecture as an image, RGB ``(H, W, 3)``, for the backends of a visualizer."""
    canvas = FigureCanvasAgg(_figure(architecture, None))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _figure(architecture: RoutedArchitecture, layer_madds: Sequence[float] | None) -> Figure:
    if isinstance(architecture, PathArchitecture):
        return paths_figure(architecture)
    return tree_figure(BranchedArchitecture.of(architecture), layer_madds)
