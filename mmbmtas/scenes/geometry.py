"""Ray casting of boxes, cylinders, ellipsoids and capsules, vectorised over the pixels of a view.

Every solid is an affine image of a canonical one that lives in local coordinates: the cube
``[-1, 1]^3``, the cylinder of radius 1 and ``|z| <= 1``, the unit sphere, and the capsule of
radius 1 around ``|z| <= stretch``. A ray is affine too, so its parameter survives the change of
coordinates, and because view rays are ``(u, v, -1)`` it *is* the depth along the optical axis.

View space is x right, y up, z toward the viewer. Shapes: H, W image height and width, N solids.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Number = TypeVar('Number', bound=np.generic)

BOX, CYLINDER, ELLIPSOID, CAPSULE, PLANE = range(5)
FAR = np.float32(1e9)
NEAR = 0.05
TINY = np.float32(1e-20)
"""Added to what may be 0 and is divided by; changes no other float32."""
BATCH = 1 << 15
"""Rays in the windows of the solids that are cast together, about."""


@dataclass(frozen=True)
class View:
    """A pinhole looking along its own -z.

    Attributes:
        origin: Position in the world, metres, ``(3,)``.
        axes: World directions of view x, y, z in its rows, orthonormal, ``(3, 3)``.
        u: x of the rays ``(u, v, -1)`` of each column, at pixel centres, rising, ``(W,)``.
        v: y of the rays of each row, at pixel centres, falling, ``(H,)``.
    """

    origin: Array
    axes: Array
    u: Array
    v: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return len(self.v), len(self.u)

    @property
    def pixel(self) -> float:
        """Width of a pixel on the plane at depth 1."""
        return float(self.u[1] - self.u[0]) if len(self.u) > 1 else 2 * float(abs(self.u[0]))


def make_view(origin: NDArray, axes: NDArray, tangent: float, size: tuple[int, int]) -> View:
    """View with square pixels.

    Args:
        origin: Position, metres, ``(3,)``.
        axes: World directions of view x, y, z in rows, ``(3, 3)``.
        tangent: Tangent of half the angle that the longer side covers.
        size: Height and width in pixels.
    """
    height, width = size
    step = 2 * tangent / max(height, width)
    u = (np.arange(width) + 0.5 - width / 2) * step
    v = (height / 2 - np.arange(height) - 0.5) * step
    return View(
        np.asarray(origin, np.float32),
        np.asarray(axes, np.float32),
        u.astype(np.float32),
        v.astype(np.float32),
    )


def cross(first: NDArray, second: NDArray) -> NDArray[np.float64]:
    """Cross product of two vectors, ``(3,)``; numpy's takes ten times as long for so few."""
    a, b, c = first.tolist()
    x, y, z = second.tolist()
    return np.array([b * z - c * y, c * x - a * z, a * y - b * x])


def look_at(origin: NDArray, target: NDArray, roll: float = 0.0) -> NDArray[np.float64]:
    """Axes (rows x, y, z in the world, whose z is up) of a view from ``origin`` to ``target``.

    Args:
        origin: Position, metres, ``(3,)``.
        target: Point shown in the image's centre, metres; not straight above or below.
        roll: Turn about the optical axis, radians.
    """
    back = np.asarray(origin, np.float64) - np.asarray(target, np.float64)
    back /= np.linalg.norm(back)
    right = cross(np.array([0.0, 0.0, 1.0]), back)
    right /= np.linalg.norm(right)
    up = cross(back, right)
    cos, sin = np.cos(roll), np.sin(roll)
    return np.stack([cos * right + sin * up, cos * up - sin * right, back])


@dataclass(frozen=True)
class Solids:
    """Solids as arrays, in one coordinate system.

    Attributes:
        kind: ``BOX``, ``CYLINDER``, ``ELLIPSOID``, ``CAPSULE`` or ``PLANE``, int, ``(N,)``. A plane
            is ``local z = 0``; `cast` skips planes, `cast_room` draws them.
        center: metres, ``(N, 3)``.
        axes: Orthonormal local axes in rows, ``(N, 3, 3)``.
        half: Metres that one canonical unit along each local axis stands for, ``(N, 3)``.
        stretch: Half length of a capsule's axis in canonical units, ``(N,)``.
    """

    kind: NDArray[np.int64]
    center: Array
    axes: Array
    half: Array
    stretch: Array

    def seen_from(self, view: View) -> 'Solids':
        """The same solids in the coordinates of a view."""
        center = (self.center - view.origin) @ view.axes.T
        return Solids(self.kind, center, self.axes @ view.axes.T, self.half, self.stretch)


_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)


def _windows(solids: Solids, view: View) -> NDArray[np.int64]:
    """First and last + 1 row and column that each solid can cover, ``(N, 4)``."""
    reach = solids.half.copy()
    reach[:, 2] *= np.where(solids.kind == CAPSULE, 1 + solids.stretch, 1)
    points = _CORNERS @ (reach[..., None] * solids.axes) + solids.center[:, None]
    x, y, depth = np.ascontiguousarray(points.transpose(2, 1, 0))
    np.negative(depth, out=depth)
    with np.errstate(divide='ignore', invalid='ignore'):
        x /= depth
        y /= depth
    height, width = view.shape
    top, bottom = np.floor((view.v[0] - np.stack([y.max(0), y.min(0)])) / view.pixel)
    left, right = np.floor((np.stack([x.min(0), x.max(0)]) - view.u[0]) / view.pixel)
    bounds = np.stack([top, bottom + 2, left, right + 2], -1)
    bounds[depth.min(0) < NEAR] = (0, height, 0, width)
    bounds[depth.max(0) < NEAR] = 0
    return np.clip(bounds, 0, [height, height, width, width]).astype(np.int64)


Near = tuple[Array, NDArray[np.bool_]]
"""Where rays enter a solid, and whether they do, of each ray."""


def _box_near(o: Array, d: Array, stretch: Array) -> Near:
    # In place where it can be: fresh arrays cost more than the arithmetic.
    reach = d + TINY
    np.divide(1, reach, out=reach)
    back = reach * o
    np.abs(reach, out=reach)
    # Depths with their signs changed: the last slab to be entered, the first to be left.
    enter = (back + reach).min(0)
    back -= reach
    hit = enter > back.max(0)
    return np.negative(enter, out=enter), hit


def _round_stretch(o: Array, d: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Entry and half length of the stretch inside the unit sphere; or disc, given two rows."""
    inverse = 1 / (_sum(d * d) + TINY)
    middle = -_sum(d * o) * inverse
    # The offset at the closest point, not b^2 - 4ac: small far solids would drown in rounding.
    offset = o + middle * d
    offset *= offset
    inside = 1 - offset[0]
    for square in offset[1:]:
        inside -= square
    half = np.sqrt(np.maximum(inside, 0) * inverse)
    return middle - half, half, inside > 0


def _sum(rows: Array) -> Array:
    """Sum over the rows, in their order."""
    total = rows[0] + rows[1]
    for row in rows[2:]:
        total += row
    return total


def _ellipsoid_near(o: Array, d: Array, stretch: Array) -> Near:
    return _round_stretch(o, d)[::2]


def _cylinder_near(o: Array, d: Array, stretch: Array) -> Near:
    enter, half, hit = _round_stretch(o[:2], d[:2])
    inverse = 1 / (d[2] + TINY)
    middle, reach = inverse * -o[2], np.abs(inverse)
    near = np.maximum(enter, middle - reach)
    return near, hit & (near < np.minimum(enter + 2 * half, middle + reach))


def _capsule_near(o: Array, d: Array, stretch: Array) -> Near:
    side, _, hit = _round_stretch(o[:2], d[:2])
    z = o[2] + side * d[2]
    cap, _, cap_hit = _round_stretch(np.stack([o[0], o[1], o[2] - np.copysign(stretch, z)]), d)
    on_side = np.abs(z) <= stretch
    return np.where(on_side, side, cap), hit & (on_side | cap_hit)


_NEAR: dict[int, Callable[[Array, Array, Array], Near]] = {
    BOX: _box_near,
    CYLINDER: _cylinder_near,
    ELLIPSOID: _ellipsoid_near,
    CAPSULE: _capsule_near,
}
"""By kind: from rays' origins and directions ``(3, P)`` in canonical coordinates, and stretches."""


def cast(
    view: View, solids: Solids, depth: Array | None = None, index: NDArray[np.int32] | None = None
) -> tuple[Array, NDArray[np.int32]]:
    """Depth along the optical axis and index of the nearest solid at each pixel's centre.

    Args:
        view: The view.
        solids: Solids in the view's coordinates (`Solids.seen_from`), seen from outside.
        depth: Depth so far, metres, ``(H, W)``, contiguous, changed in place; nothing (`FAR`) by
            default.
        index: Solid seen so far, ``(H, W)``, contiguous, changed in place; -1 by default.

    Returns:
        Depth in metres (`FAR` where nothing is hit) and index in ``solids`` (-1), ``(H, W)`` each.
    """
    depth = np.full(view.shape, FAR, np.float32) if depth is None else depth
    index = np.full(view.shape, -1, np.int32) if index is None else index
    windows = _windows(solids, view)
    area = (windows[:, 1] - windows[:, 0]) * (windows[:, 3] - windows[:, 2])
    # Kind by kind the nearest first, which gets what two cover at the very same depth.
    order = np.lexsort((-solids.center[:, 2], solids.kind))
    order = order[(area[order] > 0) & (solids.kind[order] != PLANE)]
    # Many together, as most cover few pixels; but not so many that they outgrow the cache.
    batch = np.cumsum(area[order]) // BATCH
    with np.errstate(all='ignore'):
        for some in np.split(order, np.flatnonzero(np.diff(batch)) + 1):
            _cast_some(view, solids, some, windows[some], depth.reshape(-1), index.reshape(-1))
    return depth, index


def _cast_some(
    view: View, solids: Solids, some: NDArray[np.int64], windows: NDArray[np.int64],
    depth: Array, index: NDArray[np.int32],
) -> None:  # fmt: skip
    """Cast ``some`` solids, kind by kind, at the pixels of their windows only; see `cast`."""
    rows, columns = view.shape
    top, bottom, left, right = windows.T
    # A run is a row of a window: what stays the same along it is computed once.
    which = np.repeat(np.arange(len(some)), bottom - top)
    row = np.arange(len(which)) + (bottom - np.cumsum(bottom - top))[which]
    width = (right - left)[which]
    end = np.cumsum(width)
    pixel = np.repeat(row * columns + left[which] + width - end, width)
    pixel += np.arange(len(pixel))
    matrices = solids.axes[some] / solids.half[some, :, None]
    origins = -np.einsum('nij,nj->in', matrices, solids.center[some])
    x, y, z = matrices.transpose(2, 1, 0)[..., which]
    solid = some[which]
    runs = np.concatenate([origins[:, which], x, y * view.v[row] - z, solids.stretch[None, solid]])
    runs = np.repeat(runs, width, axis=1)
    origins, directions, stretch = runs[:3], runs[3:6], runs[9]
    directions *= np.tile(view.u, rows).take(pixel)
    directions += runs[6:9]
    near, hit = np.empty(len(pixel), np.float32), np.empty(len(pixel), bool)
    kinds = solids.kind[some]
    first = np.append(0, end)[np.append(0, np.cumsum(bottom - top))]
    for kind, enter in _NEAR.items():
        a, b = first[np.searchsorted(kinds, [kind, kind + 1])]
        if b > a:
            near[a:b], hit[a:b] = enter(origins[:, a:b], directions[:, a:b], stretch[a:b])
    hit &= near < depth[pixel]
    hit &= near > NEAR
    kept = np.flatnonzero(hit)
    near, pixel = near[kept], pixel[kept]
    np.minimum.at(depth, pixel, near)
    # Backwards, as the last of several at one pixel stays.
    seen = np.flatnonzero(near == depth[pixel])[::-1]
    index[pixel[seen]] = np.repeat(solid, width)[kept[seen]]


def cast_room(view: View, room: tuple[float, float, float]) -> tuple[Array, NDArray[np.int32]]:
    """Cast a view inside the empty room ``[0, X] x [0, Y] x [0, Z]``, as `cast` does.

    Indices are the faces x = 0, x = X, y = 0, y = Y, z = 0 (floor), z = Z (ceiling).
    """
    depth = np.full(view.shape, FAR, np.float32)
    index = np.full(view.shape, -1, np.int32)
    with np.errstate(all='ignore'):
        for axis in range(3):
            x, y, z = view.axes[:, axis]
            d = x * view.u + (y * view.v - z)[:, None]
            ahead = d > 0
            here = view.origin[axis]
            t = np.where(ahead, np.float32(room[axis]) - here, -here)
            t /= d
            # The sign falls away with d = 0: a ray along a wall meets it at infinity.
            np.abs(t, out=t)
            nearer = t < depth
            np.copyto(depth, t, where=nearer)
            np.copyto(index, 2 * axis + ahead.astype(np.int32), where=nearer)
    return depth, index


class Runs:
    """Which solid is seen at each of P pixels, as runs of pixels that see the same one.

    A picture has a tenth as many runs as pixels, so that looking solids up run by run pays.

    Args:
        index: The solid at each pixel, ``(P,)``.
    """

    def __init__(self, index: NDArray[np.int32]) -> None:
        start = np.append(0, np.flatnonzero(index[1:] != index[:-1]) + 1)
        self._length = np.diff(start, append=len(index))
        self._solid = index[start]

    def look_up(self, table: NDArray[Number]) -> NDArray[Number]:
        """Values ``(..., P)`` at the pixels from those of the solids, ``(..., N)``."""
        return np.repeat(table[..., self._solid], self._length, axis=-1)


def surface(points: Array, seen: Runs, solids: Solids) -> tuple[Array, Array, Array]:
    """Local position, local normal and normal of points on solids.

    Args:
        points: Points in the solids' coordinates, ``(3, P)``.
        seen: Solid on whose surface each lies.
        solids: The solids.

    Returns:
        Position along the local axes in metres from the solid's centre, outward unit normal along
        the local axes, and the same normal in the solids' coordinates, ``(3, P)`` each.
    """
    axes = seen.look_up(solids.axes.transpose(1, 2, 0))
    half = seen.look_up(solids.half.T)
    offset = np.einsum('nij,nj->in', solids.axes, solids.center)
    local = np.einsum('ijp,jp->ip', axes, points) - seen.look_up(offset)
    unit = local / half
    kind = seen.look_up(solids.kind.astype(np.uint8))
    x, y, z = np.abs(unit)
    flat = kind == BOX
    on_x = flat & (x >= y) & (x >= z)
    on_y = flat & (y > x) & (y >= z)
    on_z = flat & (z > x) & (z > y)
    normal = np.stack([on_x, on_y, on_z]) * np.sign(unit)
    np.copyto(normal[2], 1, where=kind == PLANE)
    curved = np.flatnonzero(~flat & (kind != PLANE))
    stretch = seen.look_up(solids.stretch)[curved]
    normal[:, curved] = _curved_normal(unit[:, curved], kind[curved], half[:, curved], stretch)
    return local, normal, np.einsum('ijp,ip->jp', axes, normal)


def _curved_normal(unit: Array, kind: NDArray[np.uint8], half: Array, stretch: Array) -> Array:
    """Unit normals of cylinders, ellipsoids and capsules, along the local axes."""
    x, y, z = unit
    z = np.where(kind == CAPSULE, z - np.clip(z, -stretch, stretch), z)
    lid = np.abs(z) > np.hypot(x, y)
    is_cylinder = kind == CYLINDER
    on_lid = is_cylinder & lid
    x = np.where(on_lid, 0, x)
    y = np.where(on_lid, 0, y)
    z = np.where(is_cylinder & ~lid, 0, z)
    # A normal follows the inverse transpose of the map from canonical to metric.
    gradient = np.stack([x, y, z]).astype(np.float32) / half
    return gradient / np.sqrt((gradient * gradient).sum(0))
