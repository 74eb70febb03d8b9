"""Draw the affinities of tasks, layer by layer, as the paper's case study does (Fig. 3)."""

import math
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.visualization.saving import save_figure
from mmbmtas.visualization.tree import INK, draw_tree


def plot_affinities(
    affinities: ArrayLike,
    tasks: Sequence[str],
    path: str | os.PathLike,
    layers: Sequence[str] | None = None,
) -> None:
    """Write a picture with one matrix per layer, all in the same colours.

    Args:
        affinities: ``(L, T, T)``, at most 1.
        tasks: Task names.
        path: File to write; its extension gives the format.
        layers: Layer names; by default numbers from 0.

    Raises:
        ValueError: The affinities are not of these tasks and layers.
    """
    values = np.asarray(affinities, np.float64)
    layers = [str(layer) for layer in range(len(values))] if layers is None else layers
    if values.shape != (len(layers), len(tasks), len(tasks)):
        raise InputError(
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
    save_figure(figure, path)


def plot_affinities_and_tree(
    affinities: ArrayLike,
    architecture: BranchedArchitecture,
    path: str | os.PathLike,
    max_layers: int = 6,
    label: str = 'task affinity',
) -> None:
    """Write a picture of a tree, and below it the affinities of its tasks in some of its layers.

    Tasks are in the order of the tree's leaves, so tasks that share a layer are neighbours. A frame
    marks each group.

    Args:
        affinities: ``(L, T, T)``, in the order of ``architecture.tasks``, at most 1.
        architecture: The tree.
        path: File to write; its extension gives the format.
        max_layers: Number of layers to show, evenly spaced, with the first and the last.
        label: Meaning of the colours.

    Raises:
        ValueError: The affinities are not of these tasks and layers.
    """
    values = np.asarray(affinities, np.float64)
    num_tasks, num_layers = len(architecture.tasks), architecture.num_layers
    if values.shape != (num_layers, num_tasks, num_tasks):
        raise InputError(
            f'affinities of shape {values.shape}: expected {num_layers} layers, {num_tasks} tasks'
        )
    shown = np.unique(
        np.linspace(0, num_layers - 1, min(max_layers, num_layers)).round().astype(int)
    )
    figure = Figure(
        (max(9.0, 2.2 * len(shown)), 1.6 + 0.35 * num_tasks + 3.2), layout='constrained'
    )
    upper, lower = figure.subfigures(
        2, 1, squeeze=False, height_ratios=(1.2 + 0.35 * num_tasks, 3.2)
    )[:, 0]
    draw_tree(upper.subplots(), architecture)
    axes = lower.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    order = _leaf_order(architecture)
    names = [architecture.tasks[task].replace('_', ' ') for task in order]
    low = min(0.0, float(values.min()))
    for axis, layer in zip(axes, shown, strict=True):
        matrix = values[layer][np.ix_(order, order)]
        image = axis.imshow(matrix, cmap='viridis', vmin=low, vmax=1)
        axis.set_title(_layer_name(architecture, layer), fontsize=9, color=INK)
        axis.set_xticks(range(num_tasks), names, rotation=90, fontsize=8)
        axis.set_yticks(range(num_tasks), names, fontsize=8)
        axis.tick_params(length=2, colors=INK)
        _frame_groups(axis, architecture.groupings[layer].labels, order)
    lower.colorbar(image, ax=axes, label=label, shrink=0.8)
    save_figure(figure, path)


def _leaf_order(architecture: BranchedArchitecture) -> list[int]:
    """Order the tasks so that each group is together; return their positions."""
    labels = [*zip(*(grouping.labels for grouping in architecture.groupings), strict=True)]
    return sorted(range(len(labels)), key=labels.__getitem__)


def _layer_name(architecture: BranchedArchitecture, layer: int) -> str:
    return architecture.layers[layer] if architecture.layers else f'layer {layer + 1}'


def _frame_groups(axis: Axes, labels: Sequence[int], order: Sequence[int]) -> None:
    """Frame the tasks that share the layer; each group is a run of ``order``."""
    sorted_labels: NDArray = np.asarray(labels)[np.asarray(order)]
    for label in np.unique(sorted_labels):
        (members,) = np.nonzero(sorted_labels == label)
        corner, size = members[0] - 0.5, len(members)
        frame = Rectangle((corner, corner), size, size, fill=False, linewidth=2.5)
        frame.set(edgecolor='#d55e00', clip_on=False)
        axis.add_patch(frame)
