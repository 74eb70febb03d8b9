"""Draw a branched architecture as a tree: from the stem through the layers to the tasks.

Every box is one copy of an encoder layer, and every line through it is one of its tasks. Tasks keep
their colours, so the stripes of a box show its set of tasks.
"""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as MplPath
from matplotlib.ticker import MaxNLocator

from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture, RoutedArchitecture, TaskGrouping

COLOURS = (
    *('#0072b2', '#e69f00', '#009e73', '#cc4c78', '#7a5cc0', '#56b4e9', '#a6761d', '#d55e00'),
    *('#66a61e', '#999999', '#1b3a8a', '#f0c808', '#00b8a9', '#f48fb1', '#5d4037', '#b39ddb'),
)
"""Colours of 16 tasks, then from the first again; most colour-blind readers tell eight apart."""

INK = '#2f3640'
FURTHER_COPIES = '#b8c0cc'
BOX_WIDTH = 0.56
STRIPE = 0.17
"""Height of a task's stripe, where the tasks at the right end are 1 apart."""


def tree_figure(architecture: BranchedArchitecture, layer_madds: Sequence[float] | None) -> Figure:
    """Draw a tree as a figure of a size that suits it, with the cost of each layer if known.

    Args:
        architecture: The tree.
        layer_madds: Multiply-adds of one copy of each layer; by default those in the architecture
            itself, ``architecture.madds['layers']``.

    Raises:
        ValueError: There is not one cost per layer.
    """
    network = None
    if layer_madds is None:
        layer_madds = (architecture.madds or {}).get('layers')
        network = (architecture.madds or {}).get('network')
    columns, lanes = architecture.num_layers + 2, max(3, len(architecture.tasks))
    width = columns * min(0.5, max(0.12, 40 / columns)) + 1.6
    tree_height, bars_height = 0.4 * lanes, 0.0 if layer_madds is None else 1.0
    names_height = 0.08 * max(map(len, _column_names(architecture)))
    height = tree_height + bars_height + names_height + 0.6
    figure = Figure((width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06))
    if layer_madds is None:
        draw_tree(figure.subplots(), architecture)
    else:
        ratios = {'height_ratios': (tree_height, bars_height)}
        tree, bars = figure.subplots(2, sharex=True, gridspec_kw=ratios)
        draw_tree(tree, architecture)
        draw_layer_madds(bars, architecture, layer_madds, network)
        tree.tick_params(labelbottom=False)
    figure.suptitle(_title(architecture), color=INK, fontsize=11, parse_math=False)
    return figure


def draw_tree(ax: Axes, architecture: BranchedArchitecture) -> None:
    """Draw the tree on axes of any size: layers from left to right, one lane per task.

    The stem is at x = 0, layer ``l`` (counted from 0) at ``l`` + 1, the decoders at ``L`` + 1.
    """
    num_tasks, last = len(architecture.tasks), architecture.num_layers + 1
    middle, half = (num_tasks - 1) / 2, max(3, num_tasks) / 2 + 0.1
    ax.set_ylim(middle + half, middle - half)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    draw_layer_axis(ax, architecture)
    lanes = _lanes(architecture)
    stages = [TaskGrouping.shared(num_tasks), *architecture.groupings]
    heights = [_heights(grouping, lanes) for grouping in stages]
    for x, grouping in enumerate(stages):
        for group in grouping.groups:
            draw_box(ax, x, [heights[x][task] for task in group], '#eef1f5')
    for task, name in enumerate(architecture.tasks):
        stops = [height[task] for height in heights] + [lanes[task]]
        draw_line(ax, stops, COLOURS[task % len(COLOURS)])
        draw_box(ax, last, [lanes[task]], COLOURS[task % len(COLOURS)])
        text = name.replace('_', ' ')
        ax.text(last + 0.45, lanes[task], text, va='center', color=INK, fontsize=9)


def draw_layer_madds(
    ax: Axes,
    architecture: BranchedArchitecture,
    layer_madds: Sequence[float],
    network: float | None = None,
) -> None:
    """Draw the cost of each layer as a bar below its column: one copy dark, further ones light.

    With the cost of the whole network, a last bar has what is left of it, the stem and all
    decoders: the bars add up to that cost.

    Raises:
        ValueError: There is not one cost per layer.
    """
    if len(layer_madds) != architecture.num_layers:
        raise InputError(
            f'{len(layer_madds)} costs of layers, expected {architecture.num_layers}, one per layer'
        )
    positions = range(1, architecture.num_layers + 1)
    total = sum(layer_madds) if network is None else network
    unit, sign = (1e9, '10⁹') if total >= 1e9 else (1e6, '10⁶')
    one = [madds / unit for madds in layer_madds]
    further = [
        (grouping.num_groups - 1) * madds
        for grouping, madds in zip(architecture.groupings, one, strict=True)
    ]
    ax.bar(positions, one, BOX_WIDTH, color=INK, label='one copy')
    ax.bar(positions, further, BOX_WIDTH, one, color=FURTHER_COPIES, label='further copies')
    rest = 0.0 if network is None else network / unit - sum(one) - sum(further)
    if rest > 0:
        last = architecture.num_layers + 1
        ax.bar(last, rest, BOX_WIDTH, color=COLOURS[0], label='stem and decoders')
    ax.set_ylabel(f'MAdds ({sign})', color=INK, fontsize=8)
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.legend(frameon=False, fontsize=7, loc='upper left', labelcolor=INK)
    ax.spines[['top', 'right']].set_visible(False)
    draw_layer_axis(ax, architecture)


def describe_madds(madds: float) -> str:
    """Write multiply-adds in words, in a suitable unit.

    Example:
        >>> describe_madds(9.1e9), describe_madds(102_600_000)
        ('9.10 billion multiply-adds', '102.6 million multiply-adds')
    """
    if madds >= 1e9:
        return f'{madds / 1e9:.2f} billion multiply-adds'
    return f'{madds / 1e6:.1f} million multiply-adds'


def _lanes(architecture: BranchedArchitecture) -> list[int]:
    """Return the lane of each task at the right end, so that no branches cross."""
    labels = [*zip(*(grouping.labels for grouping in architecture.groupings), strict=True)]
    order = sorted(range(len(labels)), key=labels.__getitem__)
    return [order.index(task) for task in range(len(order))]


def _heights(grouping: TaskGrouping, lanes: Sequence[int]) -> list[float]:
    """Return the height of each task's line: within its group, amid the group's lanes."""
    heights = [0.0] * len(lanes)
    for group in grouping.groups:
        middle = sum(lanes[task] for task in group) / len(group)
        for place, task in enumerate(sorted(group, key=lanes.__getitem__)):
            heights[task] = middle + (place - (len(group) - 1) / 2) * STRIPE
    return heights


def draw_box(ax: Axes, x: float, heights: Sequence[float], fill: str) -> None:
    """Draw a frame around the lines at some heights."""
    top, bottom = min(heights) - STRIPE, max(heights) + STRIPE
    corner, size = (x - BOX_WIDTH / 2, top), (BOX_WIDTH, bottom - top)
    box = FancyBboxPatch(corner, *size, boxstyle='round,pad=0,rounding_size=0.12', zorder=1)
    box.set(facecolor=fill, edgecolor=INK, linewidth=0.9)
    ax.add_patch(box)


def draw_line(ax: Axes, heights: Sequence[float], colour: str) -> None:
    """Draw a task's line: straight through boxes, smooth between them."""
    half = BOX_WIDTH / 2
    points, codes = [(-half, heights[0])], [MplPath.MOVETO]
    for x, (here, there) in enumerate(pairwise(heights)):
        points += [(x + half, here), (x + 0.5, here), (x + 0.5, there), (x + 1 - half, there)]
        codes += [MplPath.LINETO, *[MplPath.CURVE4] * 3]
    path = MplPath(points, codes)
    ax.add_patch(
        PathPatch(
            path, facecolor='none', edgecolor=colour, linewidth=2.2, capstyle='butt', zorder=2
        )
    )


def draw_layer_axis(ax: Axes, architecture: RoutedArchitecture) -> None:
    """Name the columns below the axes, upright if the names are long."""
    names = _column_names(architecture)
    rotation = 90 if max(map(len, names)) > len('decoder') else 0
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_xticks(range(len(names)), names, rotation=rotation, parse_math=False)
    ax.tick_params(length=0, colors=INK, labelsize=8)
    ax.spines[:].set_color(INK)


def _column_names(architecture: RoutedArchitecture) -> list[str]:
    numbers = [str(layer + 1) for layer in range(architecture.num_layers)]
    return ['stem', *(architecture.layers or numbers), 'decoder']


def _title(architecture: BranchedArchitecture) -> str:
    """Make the title: the picture's subject, and its cost if known."""
    num_tasks = len(architecture.tasks)
    title = f'{architecture.encoder["type"]}, {num_tasks} task{"s" if num_tasks > 1 else ""}'
    madds = architecture.madds or {}
    if 'network' in madds:
        title += f': {describe_madds(madds["network"])}'
        if 'shape' in madds:
            title += ' at {} x {}'.format(*madds['shape'])
    return title
