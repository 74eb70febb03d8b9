"""Where things go: which parts of a room's floor are free, and what has been put there."""

import math

import numpy as np
from numpy.random import Generator

from .geometry import look_at
from .solids import Item, Solid

Rectangle = tuple[float, float, float, float]
Place = tuple[float, float, float]


class Floor:
    """What is taken of the floor, and where the camera looks."""

    def __init__(self, rng: Generator, room: tuple[float, float, float]) -> None:
        self.rng = rng
        self.room = room
        self.taken: list[Rectangle] = []
        width, depth, _ = room
        wall = int(rng.integers(4))
        along = rng.uniform(0.25, 0.75)
        inset = rng.uniform(0.3, 0.5)
        self.eye = np.array(
            [
                [inset, along * depth, 0],
                [width - inset, along * depth, 0],
                [along * width, inset, 0],
                [along * width, depth - inset, 0],
            ][wall]
        )
        self.eye[2] = rng.uniform(1.25, 1.65)
        aim = np.array([width / 2, depth / 2, rng.uniform(0.75, 1.05)])
        aim[:2] += rng.uniform(-0.6, 0.6, 2)
        aim += (aim - self.eye) * 0.5 * [1, 1, 0]
        self.axes = look_at(self.eye, aim, rng.normal(0, 0.012))
        self.tangent = rng.uniform(0.66, 0.82)
        # Plain numbers, as `sees` is asked a hundred times a room.
        self._eye = self.eye.tolist()
        self._right_and_back = self.axes[::2].tolist()
        x, y = self.eye[:2]
        self.taken.append((x - 0.45, y - 0.45, x + 0.45, y + 0.45))

    def sees(self, x: float, y: float, near: float = 1.3) -> bool:
        """Whether the camera has a point of the floor inside its angle of view."""
        (a, b, c), (d, e, f) = self._right_and_back
        x, y, z = x - self._eye[0], y - self._eye[1], 0.5 - self._eye[2]
        right, back = a * x + b * y + c * z, d * x + e * y + f * z
        return -back > near and abs(right) < -0.95 * back * self.tangent

    def free(self, area: Rectangle, gap: float = 0.05) -> bool:
        """Whether a rectangle lies in the room and ``gap`` metres from all that is taken."""
        x0, y0, x1, y1 = area
        if x0 < 0.02 or y0 < 0.02 or x1 > self.room[0] - 0.02 or y1 > self.room[1] - 0.02:
            return False
        return not any(
            x0 < b1 + gap and b0 < x1 + gap and y0 < d1 + gap and d0 < y1 + gap
            for b0, d0, b1, d1 in self.taken
        )

    def against_wall(self, item: Item, tries: int = 24) -> Place | None:
        """A free place in view for the item with its back to a wall: x, y and turn."""
        width, depth = self.room[:2]
        away = item.depth / 2 + 0.04
        fixed = (away, width - away, away, depth - away)
        for _ in range(tries):
            wall = int(self.rng.integers(4))
            span = (depth if wall < 2 else width) - item.width - 0.06
            if span <= 0:
                continue
            along = 0.03 + item.width / 2 + self.rng.random() * span
            x, y = (fixed[wall], along) if wall < 2 else (along, fixed[wall])
            turn = (math.pi / 2, -math.pi / 2, math.pi, 0.0)[wall]
            if self._take(item, x, y, turn):
                return x, y, turn
        return None

    def anywhere(self, item: Item, turn: float, tries: int = 16, near: float = 1.6) -> Place | None:
        """A free place in view away from the walls."""
        for _ in range(tries):
            x = self.rng.uniform(0.4, self.room[0] - 0.4)
            y = self.rng.uniform(0.4, self.room[1] - 0.4)
            if self._take(item, x, y, turn, near):
                return x, y, turn
        return None

    def _take(self, item: Item, x: float, y: float, turn: float, near: float = 1.3) -> bool:
        if not self.sees(x, y, near):
            return False
        area = footprint(item, x, y, turn)
        if not self.free(area):
            return False
        self.taken.append(area)
        return True


def footprint(item: Item, x: float, y: float, turn: float) -> Rectangle:
    """Upright rectangle around an item's footprint: x0, y0, x1, y1 in metres."""
    cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
    width = (cos * item.width + sin * item.depth) / 2
    depth = (sin * item.width + cos * item.depth) / 2
    return x - width, y - depth, x + width, y + depth


class Filler:
    """Collects placed items of one room."""

    def __init__(self, rng: Generator, floor: Floor) -> None:
        self.rng = rng
        self.floor = floor
        self.solids: list[Solid] = []
        self.instance: list[int] = []
        self.objects = 0
        self.seats: list[tuple[float, float, float, float]] = []

    def add(self, item: Item, place: Place, thing: bool = True) -> Item:
        """Put an item down; its objects become instances if it is a ``thing``."""
        placed = item.placed(*place)
        for group in placed.groups:
            if not group:
                continue
            self.solids += group
            self.instance += [self.objects if thing else -1] * len(group)
            self.objects += thing
        self.seats += placed.seats
        return placed

    def wall_item(self, item: Item) -> Place | None:
        """Put an item with its back to a wall if there is a place; the place."""
        place = self.floor.against_wall(item)
        if place:
            self.add(item, place)
        return place

    def free_item(self, item: Item, turn: float) -> Place | None:
        """Put an item away from the walls if there is a place; the place."""
        place = self.floor.anywhere(item, turn)
        if place:
            self.add(item, place)
        return place
