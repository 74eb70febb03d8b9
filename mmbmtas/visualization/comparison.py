"""Draw several models in one picture: their cost and performance, or their trees."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.visualization.saving import save_figure
from mmbmtas.visualization.tree import COLOURS, INK, describe_madds, draw_tree

_MARKERS = 'os^Dv*XP<>ph8d'


@dataclass(frozen=True)
class Point:
    """A model in the picture of costs and performance.

    Attributes:
        name: The model.
        cost: Mean cost, such as its multiply-adds in 10^9.
        gain: Mean of its Delta_m in percent.
        cost_deviation: Deviation of the cost, if known.
        gain_deviation: Deviation of the gain, if known.
    """

    name: str
    cost: float
    gain: float
    cost_deviation: float | None = None
    gain_deviation: float | None = None


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other point beats in both cost and gain, cheapest first.

    Points with equal cost and gain are all kept.
    """
    front = [
        point
        for point in points
        if not any(
            (other.cost <= point.cost and other.gain >= point.gain)
            and (other.cost < point.cost or other.gain > point.gain)
            for other in points
        )
    ]
    return sorted(front, key=lambda point: (point.cost, point.gain))


def plot_pareto(
    points: Sequence[Point], path: str | os.PathLike, cost: str = 'multiply-adds (10⁹)'
) -> None:
    """Draw the models by cost and gain, with the front of models that none beats in both.

    Args:
        points: The models.
        path: File to write; its extension gives the format.
        cost: Name and unit of the cost.

    Raises:
        ValueError: There are no points.
    """
    if not points:
        raise InputError('no models to draw')
    figure = Figure((8.5, 5), layout='constrained')
    axes = figure.subplots()
    front = pareto_front(points)
    if len(front) > 1:  # else there is no line to see
        axes.plot(
            [point.cost for point in front],
            [point.gain for point in front],
            color='#b8c0cc',
            linewidth=1.5,
            zorder=1,
            label='Pareto front',
        )
    axes.axhline(0, color=INK, linewidth=0.8, linestyle=':')
    for index, point in enumerate(points):
        axes.errorbar(
            point.cost,
            point.gain,
            yerr=point.gain_deviation,
            xerr=point.cost_deviation,
            color=COLOURS[index % len(COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=8,
            linestyle='none',
            elinewidth=1,
            capsize=3,
            label=point.name,
        )
    axes.set_xlabel(cost, color=INK)
    axes.set_ylabel('Δm (%), higher is better', color=INK)
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(colors=INK)
    axes.grid(color='#eef1f5')
    axes.set_axisbelow(True)
    figure.legend(loc='outside right upper', frameon=False, labelcolor=INK)
    save_figure(figure, path)


def plot_trees(
    trees: Mapping[str, BranchedArchitecture], path: str | os.PathLike, columns: int = 2
) -> None:
    """Draw trees side by side, each with its name and cost.

    Args:
        trees: The trees by name.
        path: File to write; its extension gives the format.
        columns: Number of trees side by side.

    Raises:
        ValueError: There are no trees.
    """
    if not trees:
        raise InputError('no trees to draw')
    columns = min(columns, len(trees))
    rows = math.ceil(len(trees) / columns)
    num_tasks = max(len(tree.tasks) for tree in trees.values())
    num_layers = max(tree.num_layers for tree in trees.values())
    width, height = 1.2 + 0.34 * (num_layers + 2), 1.3 + 0.3 * max(3, num_tasks)
    figure = Figure((columns * width, rows * height), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(trees) :]:
        axis.axis('off')
    for axis, (name, tree) in zip(axes.flat, trees.items(), strict=False):
        draw_tree(axis, tree)
        axis.set_xticks([])
        axis.spines['bottom'].set_visible(False)
        madds = (tree.madds or {}).get('network')
        cost = '' if madds is None else f': {describe_madds(madds)}'
        axis.set_title(name + cost, color=INK, fontsize=10, parse_math=False)
    save_figure(figure, path, dpi=130)
