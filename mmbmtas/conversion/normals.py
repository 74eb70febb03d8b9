"""Surface normals of a depth image, by fits of planes that keep to one side of a depth edge."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RADIUS = 5
"""Pixels to each side that a fit uses."""
TOLERANCE = 0.008
"""Difference of inverse depth, 1/m, up to which a neighbour belongs to the pixel's surface.

A structured-light sensor's steps are constant in inverse depth; those of the first Kinect are
0.0028 per metre. Three steps are 0.8 cm at 1 m, 7 cm at 3 m and 20 cm at 5 m.
"""
_BAND = 32  # rows
_NOWHERE = -1e6  # inverse depth beside the image, and where it is unknown
_FEWEST = 12  # neighbours of a fit
_FLATTEST = 0.02  # least ratio of the variances along and across the neighbours of a fit


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, in pixels.

    Attributes:
        fx: Focal length to the right.
        fy: Focal length downward.
        cx: Column of the principal point; the first column's centre is 0.
        cy: Row of the principal point; the first row's centre is 0.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def cropped(self, top: int, left: int) -> 'Camera':
        """The camera of an image whose first rows and columns are cut off."""
        return Camera(self.fx, self.fy, self.cx - left, self.cy - top)


def normals_of_depth(
    depth: NDArray[np.floating],
    camera: Camera,
    radius: int = RADIUS,
    tolerance: float = TOLERANCE,
) -> NDArray[np.float32]:
    """Fit a plane to the surface around each pixel, and return its normal.

    On a plane the inverse depth is an affine function of column and row, so the fit is linear, with
    the errors of the sensor's own scale. Neighbours across a depth edge, those whose inverse depth
    differs by more than ``tolerance``, have no part in it.

    Args:
        depth: Metres along the optical axis, ``(H, W)``; 0 or NaN where it is unknown.
        camera: The camera.
        radius: Neighbours are those within this many columns and rows.
        tolerance: 1/m.

    Returns:
        Unit normals, ``(H, W, 3)``: x right, y up, z toward the camera. Zero where the depth is
        unknown, or too few neighbours belong to the surface, or they lie on a line.
    """
    known = depth > 0
    inverse = np.where(known, 1 / np.where(known, depth, 1), _NOWHERE).astype(np.float32)
    count, *moments = _moments(inverse, radius, tolerance)
    with np.errstate(divide='ignore', invalid='ignore'):
        u, v, d, uu, uv, vv, ud, vd = (moment / count for moment in moments)
        uu, uv, vv, ud, vd = uu - u * u, uv - u * v, vv - v * v, ud - u * d, vd - v * d
        determinant = uu * vv - uv * uv
        right = (vv * ud - uv * vd) / determinant
        down = (uu * vd - uv * ud) / determinant
        # The larger variance is at most their sum, so the smaller is at least this.
        narrow = determinant < _FLATTEST * (uu + vv) ** 2
    # The plane's inverse depth at the principal point.
    rows, columns = np.indices(depth.shape)
    middle = d + right * (camera.cx - columns - u) + down * (camera.cy - rows - v)
    middle += inverse
    normals = np.stack([-right * camera.fx, down * camera.fy, middle], axis=-1)
    normals[~known | (count < _FEWEST) | narrow] = 0
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0).astype(
        np.float32
    )


def _moments(
    inverse: NDArray[np.float32], radius: int, tolerance: float
) -> list[NDArray[np.float32]]:
    """Sum over each pixel's neighbours: 1, u, v, d, uu, uv, vv, ud, vd.

    u and v are the steps to the right and down, d the difference of inverse depth, whose numbers
    stay small beside the inverse depth itself. Bands of rows stay in the processor's cache.
    """
    height, width = inverse.shape
    padded = np.pad(inverse, radius, constant_values=_NOWHERE)
    sums = np.zeros((9, height, width), np.float32)
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        _add_moments(sums[:, top:bottom], padded[top : bottom + 2 * radius], radius, tolerance)
    return [*sums]


def _add_moments(
    sums: NDArray[np.float32], padded: NDArray[np.float32], radius: int, tolerance: float
) -> None:
    """Add the moments of a band of rows, which has ``radius`` more rows and columns around it."""
    _, height, width = sums.shape
    center = padded[radius : radius + height, radius : radius + width]
    difference, belongs, product = np.empty((3, height, width), np.float32)
    for v in range(-radius, radius + 1):
        row = np.zeros((5, height, width), np.float32)  # 1, u, uu, d, ud of this row
        for u in range(-radius, radius + 1):
            beside = padded[radius + v : radius + v + height, radius + u : radius + u + width]
            np.subtract(beside, center, out=difference)
            np.less_equal(np.abs(difference, out=product), tolerance, out=belongs)
            difference *= belongs
            row[0] += belongs
            row[1] += np.multiply(belongs, u, out=product)
            row[2] += np.multiply(product, u, out=product)
            row[3] += difference
            row[4] += np.multiply(difference, u, out=product)
        count, right, square, change, slope = row
        for total, part in zip(
            sums,
            (count, right, v * count, change, square, v * right, v * v * count, slope, v * change),
            strict=True,
        ):
            total += part
