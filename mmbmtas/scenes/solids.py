"""Building blocks of a scene: materials, solids with labels, items that stand somewhere."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .classes import CATEGORY_ID, PART_ID
from .geometry import BOX, CAPSULE, CYLINDER, ELLIPSOID

Vector = tuple[float, float, float]

UPRIGHT = np.eye(3)
UPRIGHT.flags.writeable = False


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    Attributes:
        color: Reflectance, linear RGB in 0..1.
        other: The pattern's second colour.
        pattern: Name of a pattern in `textures.PATTERNS`.
        scale: Period of the pattern, metres.
        gloss: Strength of the highlight, 0..1.
        glow: Share of the colour given off whatever the light, 0..1.
    """

    color: Vector
    other: Vector = (0.0, 0.0, 0.0)
    pattern: str = 'plain'
    scale: float = 0.2
    gloss: float = 0.0
    glow: float = 0.0


# Not frozen: a room has a hundred, and a frozen one takes four times as long to make.
@dataclass(slots=True)
class Solid:
    """One convex solid with its labels.

    Attributes:
        kind: A kind of `geometry`.
        center: metres.
        half: Half extents along the local axes, metres (a capsule's third: its cap's height).
        axes: Local axes in rows, orthonormal.
        material: Its surface.
        category: Index in `classes.CATEGORIES`.
        part: Index in `classes.PARTS`.
        stretch: A capsule's, see `geometry.Solids`.
        shadow: Whether it throws one; small and flat things on others need not.
    """

    kind: int
    center: Vector
    half: Vector
    material: Material
    category: int
    axes: NDArray[np.float64] = field(default_factory=lambda: UPRIGHT)
    part: int = 0
    stretch: float = 0.0
    shadow: bool = True


def box(
    category: str, material: Material, center: Vector, size: Vector, shadow: bool = True
) -> Solid:
    """Upright box from its centre and full size, metres."""
    half = (size[0] / 2, size[1] / 2, size[2] / 2)
    return Solid(BOX, center, half, material, CATEGORY_ID[category], shadow=shadow)


def cylinder(
    category: str, material: Material, base: Vector, radius: float, height: float
) -> Solid:
    """Upright cylinder from its base's centre, radius and height, metres."""
    center = (base[0], base[1], base[2] + height / 2)
    return Solid(CYLINDER, center, (radius, radius, height / 2), material, CATEGORY_ID[category])


def ellipsoid(
    category: str, material: Material, center: Vector, radii: Vector, shadow: bool = True
) -> Solid:
    """Upright ellipsoid from its centre and radii, metres."""
    return Solid(ELLIPSOID, center, radii, material, CATEGORY_ID[category], shadow=shadow)


def limb(
    start: Vector,
    end: Vector,
    radius: float,
    material: Material,
    part: str,
    side: Vector = (1.0, 0.0, 0.0),
    breadth: float | None = None,
) -> Solid:
    """A person's capsule around the stretch from ``start`` to ``end``.

    Args:
        start: First joint, metres.
        end: Second joint, metres.
        radius: Of the capsule, metres.
        material: Skin or cloth.
        part: Name of the part.
        side: Direction in which the section is ``breadth`` instead of ``radius`` wide.
        breadth: Radius along ``side``, metres.
    """
    x, y, z = end[0] - start[0], end[1] - start[1], end[2] - start[2]
    length = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / length, y / length, z / length
    a, b, c = side
    if abs(a * x + b * y + c * z) > 0.95:
        a, b, c = 0.0, 1.0, 0.0
    share = a * x + b * y + c * z
    a, b, c = a - share * x, b - share * y, c - share * z
    norm = math.sqrt(a * a + b * b + c * c)
    a, b, c = a / norm, b / norm, c / norm
    axes = np.array([[a, b, c], [y * c - z * b, z * a - x * c, x * b - y * a], [x, y, z]])
    return Solid(
        CAPSULE,
        ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, (start[2] + end[2]) / 2),
        (radius if breadth is None else breadth, radius, radius),
        material,
        CATEGORY_ID['person'],
        axes=axes,
        part=PART_ID[part],
        stretch=length / 2 / radius,
    )


@dataclass
class Item:
    """Solids that make one or more objects, around the origin on the floor z = 0.

    Attributes:
        groups: Objects, each a list of solids; its place in the list tells instances apart.
        width: Extent of the footprint along x, metres.
        depth: Extent of the footprint along y, metres; an item's back is at +y.
        seats: ``(x, y, z, facing)`` where somebody can sit: metres, facing in radians from +x.
    """

    groups: list[list[Solid]]
    width: float
    depth: float
    seats: list[tuple[float, float, float, float]] = field(default_factory=list)

    def placed(self, x: float, y: float, turn: float) -> 'Item':
        """The item turned about z by ``turn`` radians, then moved by ``(x, y)`` metres."""
        cos, sin = math.cos(turn), math.sin(turn)
        rotation = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])

        def move(solid: Solid) -> Solid:
            a, b, c = solid.center
            center = (cos * a - sin * b + x, sin * a + cos * b + y, c)
            return Solid(
                solid.kind, center, solid.half, solid.material, solid.category,
                rotation if solid.axes is UPRIGHT else solid.axes @ rotation,
                solid.part, solid.stretch, solid.shadow,
            )  # fmt: skip

        seats = [
            (cos * a - sin * b + x, sin * a + cos * b + y, c, facing + turn)
            for a, b, c, facing in self.seats
        ]
        return Item(
            [[move(s) for s in group] for group in self.groups], self.width, self.depth, seats
        )
