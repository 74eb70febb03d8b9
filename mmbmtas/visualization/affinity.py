"""Draw the affinities of tasks, layer by layer, as the paper's case study does (Fig. 3)."""

import math
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike


def plot_affinities(
    affinities: ArrayLike,
    tasks: Sequence[str],
    path: str | os.PathLike,
    layers: Sequence[str] | None = None,
) -> None:
    """Write a picture with a matrix a layer, all in the same colours.

    Args:
        affinities: ``(L, T, T)``, at most 1.
        tasks: Task names.
        path: Where to; its extension gives the format.
        layers: Layer names; by default numbers from 0.

    Raises:
        ValueError: The affinities are not of these tasks and layers.
    """
    values = np.asarray(affinities, np.float64)
    layers = [str(layer) for layer in range(len(values))] if layers is None else layers
    if values.shape != (len(layers), len(tasks), len(tasks)):
        raise ValueError(
            f'affinities of shape {values.shape}: expected {len(layers)} layers, {len(tasks)} tasks'
        )
    columns = min(6, len(layers))
    rows = math.ceil(len(layers) / columns)
    side = 0.8 + 0.24 * len(tasks)
    figure = Figure((columns * side + 2, rows * (side + 0.25) + 1), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    low = min(0.0, float(values.min()))
    for index, axis in enumerate(axes.flat):
        if index >= len(layers):
            axis.axis('off')
            continue
        image = axis.imshow(values[index], cmap='viridis', vmin=low, vmax=1)
        axis.set_title(layers[index], fontsize=9)
        axis.set_xticks(range(len(tasks)), tasks, rotation=90, fontsize=8)
        axis.set_yticks(range(len(tasks)), tasks, fontsize=8)
        axis.tick_params(labelbottom=index + columns >= len(layers), length=2)
    figure.colorbar(image, ax=axes, label='task affinity (Spearman correlation)', shrink=0.8)
    figure.savefig(path, dpi=150)
