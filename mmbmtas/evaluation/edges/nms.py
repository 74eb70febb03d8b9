"""Suppress non-maxima of edge maps, as Dollar's ``edgesNms`` does."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, map_coordinates

SMOOTHING_RADIUS = 4
LEAD = 1.01
"""A pixel survives while its value, times this, is not below a neighbour's."""
BORDER = 5
"""Width in pixels of the frame in which values fade linearly to 0."""


def suppress_non_maxima(edge_map: NDArray) -> NDArray[np.float64]:
    """Keep an edge map where it is maximal across the edge, and set it to 0 elsewhere.

    The orientation comes from second derivatives of the smoothed map. The unsmoothed map is
    compared with its bilinear neighbours, one pixel away on both sides, and faded towards the image
    border. In this formula a perfectly horizontal, symmetric ridge has orientation 0 and is left
    for the thinning, as in the original.

    Args:
        edge_map: ``(H, W)``, 0..1.

    Returns:
        ``(H, W)``, 0..1.
    """
    edges = np.asarray(edge_map, dtype=np.float64)
    angle = _orientation(edges)
    rows, columns = np.nonzero(edges)
    values = edges[rows, columns]
    survives = np.ones(len(values), dtype=bool)
    step_x, step_y = np.cos(angle[rows, columns]), np.sin(angle[rows, columns])
    for side in (-1, 1):
        places = np.stack([rows + side * step_y, columns + side * step_x])
        neighbour = map_coordinates(edges, places, order=1, mode='nearest')
        survives &= values * LEAD >= neighbour
    kept = np.zeros_like(edges)
    kept[rows[survives], columns[survives]] = values[survives]
    return kept * _border_fade(edges.shape[0])[:, None] * _border_fade(edges.shape[1])


def _orientation(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the direction across the edge in radians, 0..pi; x to the right, y down."""
    smooth = _triangle_filter(edges, SMOOTHING_RADIUS)
    d_y, d_x = np.gradient(smooth)
    d_xx = np.gradient(d_x, axis=1)
    d_yy, d_xy = np.gradient(d_y)
    return np.mod(np.arctan(d_yy * np.sign(-d_xy) / (d_xx + 1e-5)), np.pi)


def _triangle_filter(image: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Smooth with a triangle of 2 radius + 1 pixels; borders reflect and repeat the edge pixel."""
    rise = np.arange(1, radius + 1)
    kernel = np.concatenate([rise, [radius + 1], rise[::-1]]) / (radius + 1) ** 2
    return correlate1d(correlate1d(image, kernel, axis=0), kernel, axis=1)


def _border_fade(length: int) -> NDArray[np.float64]:
    """Return 0, 1/5, ..., 4/5, 1, ..., 1, 4/5, ..., 0 along one side."""
    distance = np.minimum(np.arange(length), np.arange(length)[::-1])
    return np.minimum(distance / BORDER, 1)
