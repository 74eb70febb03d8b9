"""Pictures of a search of cells: scores, costs, progress, and the cells themselves."""

import itertools
import os
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmbmtas.structures import DenseCell
from mmbmtas.visualization.comparison import Point, pareto_front
from mmbmtas.visualization.saving import picture_place, save_figure
from mmbmtas.visualization.tree import COLOURS, INK

References = Sequence[tuple[str, float]]
"""Names of the references and their scores."""


def plot_histogram(
    scores: Sequence[float], references: References, path: str | os.PathLike
) -> None:
    """Draw how often cells reached a score, with the references' as lines."""
    figure, axes = _axes('score', 'cells')
    axes.hist(scores, bins=min(20, max(5, len(scores) // 3)), color=COLOURS[0], alpha=0.8)
    for index, (name, score) in enumerate(references, start=1):
        axes.axvline(score, color=COLOURS[index % len(COLOURS)], label=name)
    _save(figure, axes, path)


def plot_costs(
    costs: Sequence[float],
    scores: Sequence[float],
    references: Sequence[tuple[str, float, float]],
    path: str | os.PathLike,
) -> None:
    """Draw scores against 10^6 multiply-adds, with the front of what nothing beats in both.

    Args:
        costs: Of the cells.
        scores: Of the cells.
        references: Name, cost and score of each reference.
        path: Where to; its extension gives the format.
    """
    figure, axes = _axes('multiply-adds (10⁶)', 'score')
    axes.plot(costs, scores, 'o', color=COLOURS[0], alpha=0.6, label='cells')
    points = [Point('', cost, score) for cost, score in zip(costs, scores, strict=True)]
    points += [Point(name, cost, score) for name, cost, score in references]
    front = pareto_front(points)
    axes.plot([p.cost for p in front], [p.gain for p in front], color=INK, label='Pareto front')
    for index, (name, cost, score) in enumerate(references, start=1):
        colour = COLOURS[index % len(COLOURS)]
        axes.plot([cost], [score], 'D', color=colour, markersize=9, label=name)
    _save(figure, axes, path)


def plot_fidelity(
    names: Sequence[str],
    short: Sequence[float],
    full: Sequence[float],
    path: str | os.PathLike,
    titles: tuple[str, str] = ('score of the trial', 'score of the full training'),
) -> None:
    """Draw the scores of full trainings against those of the trials; ``titles`` of the axes."""
    figure, axes = _axes(*titles)
    axes.plot(short, full, 'o', color=COLOURS[0])
    for name, x, y in zip(names, short, full, strict=True):
        axes.annotate(name, (x, y), textcoords='offset points', xytext=(5, 3), color=INK)
    _save(figure, axes, path)


def plot_progress(
    trials: Sequence[int], scores: Sequence[float], references: References, path: str | os.PathLike
) -> None:
    """Draw each cell's score and the best so far, trial by trial."""
    figure, axes = _axes('trial', 'score')
    best = [max(scores[: index + 1]) for index in range(len(scores))]
    axes.plot(trials, scores, 'o', color=COLOURS[0], alpha=0.5, label='cells')
    axes.step(trials, best, where='post', color=INK, label='best so far')
    for index, (name, score) in enumerate(references, start=1):
        axes.axhline(score, color=COLOURS[index % len(COLOURS)], linestyle='--', label=name)
    _save(figure, axes, path)


def plot_norms(cells: Sequence[tuple[str, Sequence[float]]], path: str | os.PathLike) -> None:
    """Draw the L1 norms of each cell's projection, a bar for each branch."""
    figure, axes = _axes('branch', 'share of the L1 norm')
    width = 0.8 / max(1, len(cells))
    for index, (name, norms) in enumerate(cells):
        total = sum(norms) or 1.0
        places = [branch + (index - (len(cells) - 1) / 2) * width for branch in range(len(norms))]
        shares = [norm / total for norm in norms]
        axes.bar(places, shares, width, color=COLOURS[index % len(COLOURS)], label=name)
    _save(figure, axes, path)


def draw_cell(cell: DenseCell, path: str | os.PathLike) -> None:
    """Draw a cell: the features at the top, each branch below what it reads.

    Raises:
        ValueError: The extension is no picture's.
    """
    places = _places(cell)
    width = 1 + max(x for x, _ in places.values())
    depth = max(y for _, y in places.values())
    figure = Figure((1.9 * width + 0.6, 0.9 * (depth + 1)), layout='constrained')
    axes = figure.subplots()
    axes.set_axis_off()
    for branch, read in enumerate(cell.inputs):
        (x, y), (u, v) = places[branch], places[read]
        axes.plot([u, x], [-v, -y], color='#b8c0cc', zorder=1)
    for branch, (x, y) in places.items():
        text = 'features' if branch < 0 else f'{branch}: {cell.operations[branch]}'
        box = dict(boxstyle='round', facecolor='white', edgecolor=COLOURS[0 if branch < 0 else 1])
        axes.text(x, -y, text, ha='center', va='center', color=INK, bbox=box, zorder=2)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(-depth - 0.4, 0.4)
    path = picture_place(path)
    save_figure(figure, path, dpi=120)


def _places(cell: DenseCell) -> dict[int, tuple[float, int]]:
    """Place branches: across by the ends of the tree, so that no lines cross; down by depth."""
    places: dict[int, tuple[float, int]] = {}
    ends = itertools.count()

    def place(branch: int, depth: int) -> float:
        across = [place(reader, depth + 1) for reader in cell.readers(branch)]
        x = sum(across) / len(across) if across else float(next(ends))
        places[branch] = x, depth
        return x

    place(-1, 0)
    return places


def _axes(across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure((7.5, 4), layout='constrained')
    axes = figure.subplots()
    axes.set_xlabel(across, color=INK)
    axes.set_ylabel(up, color=INK)
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(colors=INK)
    return figure, axes


def _save(figure: Figure, axes: Axes, path: str | os.PathLike) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path, dpi=120)
