"""Turn the label map or prediction of a task into a picture and a legend."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np

from mmbmtas.structures.palettes import PARTS_PALETTE, class_palette
from mmbmtas.structures.tasks import IGNORE_INDEX, Task

Colour = tuple[int, int, int]

IGNORED_COLOUR: Colour = (236, 226, 200)
"""Cream, which neither the palettes nor viridis hold: pixels without a valid label."""

VIRIDIS = np.rint(matplotlib.colormaps['viridis'](np.linspace(0, 1, 256))[:, :3] * 255).astype(
    np.uint8
)
"""A perceptually even map from 256 steps to RGB, ``(256, 3)``."""

_DIRECTIONS = {
    '+x': (255, 128, 128),
    '-x': (0, 128, 128),
    '+y': (128, 255, 128),
    '-y': (128, 0, 128),
    '+z': (128, 128, 255),
    '-z': (128, 128, 0),
}


@dataclass(frozen=True)
class Legend:
    """The meaning of the colours of a picture.

    Attributes:
        entries: Colour and name of each thing shown.
        scale: Lower value, upper value and unit, if :data:`VIRIDIS` runs between them.
    """

    entries: tuple[tuple[Colour, str], ...] = ()
    scale: tuple[float, float, str] | None = None


def draw_label(
    task: Task,
    label: np.ndarray,
    palette: Sequence[Colour] | None = None,
    value_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """Draw a label map or a prediction.

    Classes have the palette's colours. Binary maps and probabilities run from black (0) to white
    (1). Normals x, y, z from -1 to 1 become red, green, blue. Depth and other values run through
    viridis. Ignored pixels are :data:`IGNORED_COLOUR`.

    Args:
        task: The task that the map belongs to.
        label: ``(H, W)``, or ``(H, W, 3)`` for normals, as in ``MultiTaskDataSample``.
        palette: RGB colour of each class; default :func:`default_palette`.
        value_range: First and last value of viridis; default :func:`valid_range`.

    Returns:
        RGB uint8, ``(H, W, 3)``.
    """
    if task.kind == 'classes':
        return class_table(palette or default_palette(task))[label.astype(np.int64) & 255]
    if task.kind == 'binary':
        picture = np.repeat(np.rint(np.clip(label, 0, 1) * 255)[..., None], 3, axis=-1)
    elif task.kind == 'normals':
        length = np.maximum(np.linalg.norm(label, axis=-1, keepdims=True), 1e-6)
        picture = np.rint((label / length + 1) / 2 * 255)
    else:
        low, high = value_range or valid_range(task, label)
        steps = np.clip((label - low) / max(high - low, 1e-6), 0, 1) * 255
        picture = VIRIDIS[np.nan_to_num(steps).astype(np.uint8)]
    picture = picture.astype(np.uint8)
    picture[~valid_pixels(task, label)] = IGNORED_COLOUR
    return picture


def describe_colours(
    task: Task,
    maps: Sequence[np.ndarray],
    names: Sequence[str] | None = None,
    palette: Sequence[Colour] | None = None,
    value_range: tuple[float, float] | None = None,
    unit: str | None = None,
) -> Legend:
    """Write the legend of the pictures of a task.

    Args:
        task: The task.
        maps: Truth and prediction, if present, as for :func:`draw_label`.
        names: Name of each class; default its number.
        palette: As for :func:`draw_label`.
        value_range: As for :func:`draw_label`.
        unit: Unit of values; default metres for depth, none for others.

    Returns:
        The legend. It lists the classes that occur, in their order.
    """
    ignored = any(not valid_pixels(task, label).all() for label in maps)
    end = ((IGNORED_COLOUR, 'ignored'),) if ignored else ()
    if task.kind == 'classes':
        values = np.concatenate([label.ravel() for label in maps]).astype(np.int64) & 255
        counts = np.bincount(values, minlength=256)
        table = class_table(palette or default_palette(task))
        present = [int(c) for c in np.flatnonzero(counts) if c != IGNORE_INDEX]
        return Legend(
            tuple(
                (tuple(table[c].tolist()), names[c] if names and c < len(names) else f'class {c}')
                for c in present
            )
            + end
        )
    if task.kind == 'binary':
        return Legend((((0, 0, 0), '0'), ((255, 255, 255), f'1 ({task.name})'), *end))
    if task.kind == 'normals':
        return Legend((*((colour, name) for name, colour in _DIRECTIONS.items()), *end))
    low, high = value_range or valid_range(task, *maps)
    if unit is None:
        unit = 'm' if task.kind == 'depth' else ''
    return Legend(end, (low, high, unit))


def default_palette(task: Task) -> Sequence[Colour]:
    """Return the colours of a task for a dataset without a palette."""
    return PARTS_PALETTE if task.name == 'human_parts' else class_palette(IGNORE_INDEX)


def class_table(palette: Sequence[Colour]) -> np.ndarray:
    """Extend a palette to all 256 values, ``(256, 3)``; values beyond it count as ignored."""
    table = np.full((256, 3), IGNORED_COLOUR, np.uint8)
    table[: len(palette)] = palette
    return table


def valid_pixels(task: Task, label: np.ndarray) -> np.ndarray:
    """Where a map holds a label, by kind: not 255, the zero vector, 0 or NaN, ``(H, W)``."""
    if task.kind in ('classes', 'binary'):
        return label != IGNORE_INDEX
    if task.kind == 'normals':
        return np.asarray(label.any(axis=-1))
    return np.isfinite(label) & (task.zero_counts | (label != 0))


def valid_range(task: Task, *maps: np.ndarray) -> tuple[float, float]:
    """Return the range of almost all valid values (percentiles 1 and 99).

    Without this, a few far outliers, as from depth sensors, would leave one colour for the rest.

    Args:
        task: The task.
        maps: Its maps.

    Returns:
        The two values; 0 and 1 where no pixel is valid.
    """
    values = np.concatenate([label[valid_pixels(task, label)] for label in maps])
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, [1, 99])
    return float(low), float(high)
