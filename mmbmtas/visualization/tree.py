"""Draw a branched architecture as a tree: from the stem through the layers to the tasks.

Every box is one copy of an encoder layer, and every line that runs through it is a task which it
serves. Tasks keep their colours, so a box shows its set of tasks by its stripes.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.ticker import MaxNLocator

from mmbmtas.structures import BranchedArchitecture

COLOURS = (
    *('#0072b2', '#e69f00', '#009e73', '#cc4c78', '#7a5cc0', '#56b4e9', '#a6761d', '#d55e00'),
    *('#66a61e', '#999999', '#1b3a8a', '#f0c808', '#00b8a9', '#f48fb1', '#5d4037', '#b39ddb'),
)
"""A colour for each of 16 tasks; the first eight are told apart by most colour-blind readers."""

INK = '#2f3640'
FURTHER_COPIES = '#b8c0cc'
BOX_WIDTH = 0.56
STRIPE = 0.17
"""Height of a task's stripe, where the tasks at the right end are 1 apart."""


def plot_tree(
    architecture: BranchedArchitecture,
    path: str | os.PathLike,
    layer_madds: Sequence[float] | None = None,
) -> None:
    """Write a picture of an architecture, with the cost of each layer below if it is known.

    Args:
        architecture: What to draw.
        path: Where to; its extension gives the format, ``.png``, ``.svg`` or ``.pdf``.
        layer_madds: Multiply-adds of one copy of each layer; by default those that the
            architecture itself knows, ``architecture.madds['layers']``.

    Raises:
        ValueError: If the extension is not one of a picture, or there is not one cost a layer.
    """
    path = Path(path)
    if path.suffix.lower() not in ('.png', '.svg', '.pdf'):
        raise ValueError(f'{path}: no picture format {path.suffix!r}, expected .png, .svg or .pdf')
    if layer_madds is None:
        layer_madds = (architecture.madds or {}).get('layers')
    columns, lanes = architecture.num_layers + 2, max(3, len(architecture.tasks))
    width = columns * min(0.5, max(0.12, 40 / columns)) + 1.6
    tree_height, bars_height = 0.34 * lanes + 0.4, 0.0 if layer_madds is None else 1.0
    figure = Figure((width, tree_height + bars_height + 0.9), layout='constrained')
    if layer_madds is None:
        draw_tree(figure.subplots(), architecture)
    else:
        ratios = {'height_ratios': (tree_height, bars_height)}
        tree, bars = figure.subplots(2, sharex=True, gridspec_kw=ratios)
        draw_tree(tree, architecture)
        draw_layer_madds(bars, architecture, layer_madds)
        tree.tick_params(labelbottom=False)
    figure.suptitle(_title(architecture), color=INK, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)


def draw_tree(ax: Axes, architecture: BranchedArchitecture) -> None:
    """Draw the tree on axes of any size: layers from left to right, a lane for each task.

    Layer ``l`` counted from 0 stands at x = ``l`` + 1, the stem at 0, the decoders at ``L`` + 1.
    """
    num_tasks, num_layers = len(architecture.tasks), architecture.num_layers
    ax.set_xlim(-0.6, num_layers + 1.4)
    ax.set_ylim(num_tasks - 0.4, -0.6)
    _draw_frame(ax, architecture)
    lanes = _lanes(architecture)
    heights = list(_heights(architecture, lanes))
    for task, name in enumerate(architecture.tasks):
        colour = COLOURS[task % len(COLOURS)]
        stations = [(x, height[task]) for x, height in enumerate(heights)]
        _draw_line(ax, stations, colour)
        _draw_box(ax, num_layers + 1, [lanes[task]], colour, 0.3)
        label = name.replace('_', ' ')
        ax.annotate(
            label,
            (num_layers + 1.3, lanes[task]),
            (5, 0),
            textcoords='offset points',
            va='center',
            color=INK,
        )
    groups = [[tuple(range(num_tasks))], *(g.groups for g in architecture.groupings)]
    for x, members in enumerate(groups):
        for group in members:
            _draw_box(ax, x, [heights[x][task] for task in group], 'none' if x else INK)


def draw_layer_madds(
    ax: Axes, architecture: BranchedArchitecture, layer_madds: Sequence[float]
) -> None:
    """Draw the cost of each layer as a bar below its column: one copy dark, further ones light.

    Raises:
        ValueError: If there is not one cost a layer.
    """
    if len(layer_madds) != architecture.num_layers:
        raise ValueError(
            f'{len(layer_madds)} costs of layers, expected {architecture.num_layers}, one a layer'
        )
    positions = range(1, architecture.num_layers + 1)
    one = [madds / 1e9 for madds in layer_madds]
    further = [
        (grouping.num_groups - 1) * madds
        for grouping, madds in zip(architecture.groupings, one, strict=True)
    ]
    ax.bar(positions, one, BOX_WIDTH, color=INK, label='one copy')
    ax.bar(positions, further, BOX_WIDTH, one, color=FURTHER_COPIES, label='further copies')
    ax.set_ylabel('MAdds (10⁹)', color=INK, fontsize=8)
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.legend(frameon=False, fontsize=7, loc='upper left', labelcolor=INK)
    _draw_frame(ax, architecture)
