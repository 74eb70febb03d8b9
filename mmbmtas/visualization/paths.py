"""Draws the paths of domains: all possible nodes, and the domains that use them.

Columns are layers, rows are candidates. A node that several domains pass is dark, one that a single
domain passes light, one that none passes dotted. Domains keep their colours from column to column.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import FancyBboxPatch, Patch
from numpy.typing import NDArray

from mmbmtas.structures import PathArchitecture, is_zero
from mmbmtas.visualization.tree import (
    BOX_WIDTH,
    COLOURS,
    INK,
    describe_madds,
    draw_box,
    draw_layer_axis,
    draw_line,
)

SHARED, SINGLE, UNUSED = '#8793a3', '#e4e8ee', 'none'
"""Fills of nodes that several domains pass, one, or none."""
NODE_HEIGHT = 0.76
"""Where candidates are 1 apart."""


def paths_figure(architecture: PathArchitecture) -> Figure:
    """Draw paths as a figure of a size that suits them.

    Args:
        architecture: The paths.
    """
    columns, rows = architecture.num_layers + 2, max(map(len, architecture.candidates))
    row_height = max(0.2, min(0.45, 9 / rows), 0.035 * len(architecture.domains))
    names = max(len(name) for name in [*_row_names(architecture), *architecture.domains])
    width = columns * min(0.55, max(0.2, 40 / columns)) + 0.16 * names + 0.6
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06)
    figure = Figure((width, row_height * rows + 1.7), layout=layout)
    draw_paths(figure.subplots(), architecture)
    keys = [
        Patch(facecolor=SHARED, edgecolor=INK, label='shared'),
        Patch(facecolor=SINGLE, edgecolor=INK, label='of one domain'),
        Patch(facecolor=UNUSED, edgecolor=INK, linestyle=':', label='unused'),
    ]
    figure.legend(
        handles=keys, loc='outside lower center', ncols=3, frameon=False, fontsize=8, labelcolor=INK
    )
    figure.suptitle(_title(architecture), color=INK, fontsize=11, parse_math=False)
    return figure


def draw_paths(ax: Axes, architecture: PathArchitecture) -> None:
    """Draw paths on axes of any size.

    The stem is at x = 0, layer ``l`` (counted from 0) at ``l`` + 1, the decoders at ``L`` + 1;
    candidate ``c`` is at height ``c``, the first on top.
    """
    rows = max(map(len, architecture.candidates))
    last, middle = architecture.num_layers + 1, (rows - 1) / 2
    names = _row_names(architecture)
    ax.set_ylim(max(rows - 0.4, middle + 1), min(-0.6, middle - 1))
    draw_layer_axis(ax, architecture)
    ax.set_yticks(range(rows), names, parse_math=False)
    ax.spines[:].set_visible(False)
    for layer, candidates in enumerate(architecture.candidates):
        used = {candidate: len(domains) for candidate, domains in architecture.nodes(layer)}
        for candidate in range(len(candidates)):
            _draw_node(ax, layer + 1, candidate, used.get(candidate, 0))
    count = len(architecture.domains)
    # At the right end domains are ordered as their last nodes are, so that few lines cross.
    order = sorted(
        range(count), key=lambda d: [*architecture.routing[architecture.domains[d]]][::-1]
    )
    spread = (np.linspace(0, rows - 1, count) if count > 1 else np.array([middle])).tolist()
    step = min(0.16, NODE_HEIGHT / (count + 1))
    offsets = [(index - (count - 1) / 2) * step for index in range(count)]
    draw_box(ax, 0, [middle + offset for offset in offsets], SINGLE if count == 1 else SHARED)
    for index, (domain, offset) in enumerate(zip(architecture.domains, offsets, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        end = spread[order.index(index)]
        heights = [middle, *architecture.routing[domain], end]
        stops = [height + offset for height in heights[:-1]] + [end]
        draw_line(ax, stops, colour)
        ax.plot([last - BOX_WIDTH / 2], [end], 's', color=colour, markersize=7, zorder=3)
        text = domain.replace('_', ' ')
        ax.text(last, end, text, va='center', color=INK, fontsize=9, parse_math=False)


def draw_similarity(ax: Axes, architecture: PathArchitecture, values: NDArray[np.float64]) -> None:
    """Draw how alike the paths are as a matrix, as the article does.

    Args:
        ax: Where to.
        architecture: The paths.
        values: What :meth:`PathArchitecture.jaccard` gives, ``(D, D)``.
    """
    ax.imshow(values, cmap='Blues', vmin=0, vmax=1)
    names = [domain.replace('_', ' ') for domain in architecture.domains]
    ax.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
    ax.set_yticks(range(len(names)), names, parse_math=False)
    ax.tick_params(length=0, colors=INK, labelsize=8)
    ax.spines[:].set_visible(False)
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        colour = 'white' if value > 0.6 else INK
        ax.text(column, row, f'{value:.2f}', ha='center', va='center', color=colour, fontsize=8)


def similarity_figure(architecture: PathArchitecture, values: NDArray[np.float64]) -> Figure:
    """Draw :func:`draw_similarity` as a figure."""
    side = 1.6 + 0.55 * len(architecture.domains)
    figure = Figure((side, side), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    draw_similarity(figure.subplots(), architecture, values)
    return figure


def _title(architecture: PathArchitecture) -> str:
    """Make the title: the picture's subject, and its cost if known."""
    count, madds = len(architecture.domains), architecture.madds or {}
    title = f'{architecture.encoder["type"]}, paths of {count} domain{"s" if count > 1 else ""}'
    if 'params' in madds:
        title += f': {madds["params"] / 1e6:.2f} million parameters'
    if 'sum' in madds:
        title += f', {describe_madds(madds["sum"])}'
    return title


def _draw_node(ax: Axes, x: int, candidate: int, domains: int) -> None:
    """Draw a candidate of a layer as a box: dark, light or dotted."""
    fill = (UNUSED, SINGLE, SHARED)[min(domains, 2)]
    corner, size = (x - BOX_WIDTH / 2, candidate - NODE_HEIGHT / 2), (BOX_WIDTH, NODE_HEIGHT)
    box = FancyBboxPatch(corner, *size, boxstyle='round,pad=0,rounding_size=0.12', zorder=1)
    box.set(facecolor=fill, edgecolor=INK, linewidth=0.9 if domains else 0.6)
    box.set_linestyle('-' if domains else ':')
    box.set_alpha(1.0 if domains else 0.5)
    ax.add_patch(box)


def _row_names(architecture: PathArchitecture) -> list[str]:
    """Name the rows by the candidates of the layer that has most; numbers if layers differ."""
    longest = max(architecture.candidates, key=len)
    alike = all(
        candidate == other
        for layer in architecture.candidates
        for candidate, other in zip(layer, longest, strict=False)
    )
    return [_candidate_name(c) if alike else str(i) for i, c in enumerate(longest)]


def _candidate_name(candidate: Mapping[str, Any]) -> str:
    """Write a candidate in a few words.

    Example:
        >>> _candidate_name({'kernel': 3, 'expansion': 6, 'squeeze': True})
        'kernel 3, expansion 6, squeeze'
    """
    if is_zero(candidate):
        return 'left out'
    words = [
        key if value is True else f'{key} {value}'
        for key, value in candidate.items()
        if value is not False
    ]
    return ', '.join(words) or 'plain'
