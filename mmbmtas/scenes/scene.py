"""Random rooms: their surfaces, what stands in them and where, the camera and the light.

The world is x and y along the floor, z up, metres; a room is ``[0, X] x [0, Y] x [0, Z]``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from . import furniture, people
from .furniture import hue
from .geometry import Solids
from .placing import Filler, Floor, footprint
from .solids import Item, Material, Solid, box, ellipsoid
from .walls import hang, room_faces

Builder = Callable[[Generator], Item]


@dataclass(frozen=True)
class Scene:
    """A room ready to be rendered.

    Attributes:
        room: Extents X, Y, Z, metres.
        solids: Faces of the room (six planes), then everything in it.
        instance: Object that each solid belongs to; -1 for the room and what hangs on its walls.
        eye: The camera's position, metres.
        axes: Its axes in rows, see `geometry.View`.
        tangent: Tangent of half the angle of the longer image side.
        lamp: Position of the ceiling light, metres.
        window: Centre of the window, metres; None where there is no window.
        mood: Strength of ceiling light, window light and ambient light.
        tone: Colour of the ceiling light, RGB around 1.
    """

    room: tuple[float, float, float]
    solids: list[Solid]
    instance: NDArray[np.int32]
    eye: NDArray[np.float64]
    axes: NDArray[np.float64]
    tangent: float
    lamp: NDArray[np.float64]
    window: NDArray[np.float64] | None
    mood: tuple[float, float, float]
    tone: tuple[float, float, float]

    def arrays(self) -> Solids:
        """The solids as arrays, in world coordinates."""
        return Solids(
            np.array([s.kind for s in self.solids]),
            np.array([s.center for s in self.solids], np.float32),
            np.array([s.axes for s in self.solids], np.float32),
            np.array([s.half for s in self.solids], np.float32),
            np.array([s.stretch for s in self.solids], np.float32),
        )


def _living(filler: Filler) -> None:
    rng = filler.rng
    seat = furniture.sofa(rng)
    place = filler.wall_item(seat)
    if place and rng.random() < 0.7:
        _in_front(filler, seat, place, furniture.table(rng, low=True), rng.uniform(0.35, 0.5))
    filler.wall_item(furniture.sideboard(rng))
    if rng.random() < 0.6:
        filler.free_item(furniture.sofa(rng, single=True), rng.uniform(0, 2 * math.pi))


def _dining(filler: Filler) -> None:
    rng = filler.rng
    item = furniture.table(rng)
    turn = math.pi / 2 * rng.integers(2) + rng.normal(0, 0.06)
    around = Item(item.groups, item.width + 0.5, item.depth + 1.1)
    place = filler.floor.anywhere(around, turn)
    if place:
        filler.add(item, place)
        cos, sin = math.cos(place[2]), math.sin(place[2])
        for side in (-1, 1):
            for share in (-0.25, 0.25):
                if rng.random() < 0.8:
                    a, b = share * item.width, side * (item.depth / 2 + rng.uniform(0.08, 0.22))
                    facing = place[2] + (0 if side > 0 else math.pi) + rng.normal(0, 0.12)
                    x, y = place[0] + cos * a - sin * b, place[1] + sin * a + cos * b
                    filler.add(furniture.chair(rng), (x, y, facing))
    filler.wall_item(furniture.dresser(rng) if rng.random() < 0.5 else furniture.sideboard(rng))


def _bedroom(filler: Filler) -> None:
    rng = filler.rng
    item = furniture.bed(rng)
    place = filler.wall_item(item)
    if place:
        cos, sin = math.cos(place[2]), math.sin(place[2])
        for side in (-1, 1):
            stand = furniture.nightstand(rng)
            a, b = side * (item.width / 2 + 0.27), item.depth / 2 - 0.22
            spot = (place[0] + cos * a - sin * b, place[1] + sin * a + cos * b, place[2])
            area = footprint(stand, *spot)
            if rng.random() < 0.75 and filler.floor.free(area, 0.0):
                filler.floor.taken.append(area)
                filler.add(stand, spot)
    filler.wall_item(furniture.wardrobe(rng) if rng.random() < 0.6 else furniture.dresser(rng))
    if rng.random() < 0.4:
        filler.wall_item(furniture.dresser(rng))


def _study(filler: Filler) -> None:
    rng = filler.rng
    item = furniture.table(rng, 'desk')
    place = filler.wall_item(item)
    if place:
        _in_front(filler, item, place, furniture.chair(rng), rng.uniform(-0.1, 0.15), math.pi)
    filler.wall_item(furniture.bookshelf(rng))
    if rng.random() < 0.5:
        filler.wall_item(furniture.sofa(rng))


def _in_front(
    filler: Filler, item: Item, place: tuple[float, float, float], other: Item, gap: float,
    extra_turn: float = 0.0,
) -> None:  # fmt: skip
    """Put ``other`` before the front of an item standing at ``place``."""
    x, y, turn = place
    away = item.depth / 2 + gap + other.depth / 2
    spot = (x + math.sin(turn) * away, y - math.cos(turn) * away, turn + extra_turn)
    area = footprint(other, *spot)
    inside = (
        area[0] > 0
        and area[1] > 0
        and area[2] < filler.floor.room[0]
        and area[3] < filler.floor.room[1]
    )
    if inside and (gap < 0.2 or filler.floor.free(area, 0.0)):
        filler.floor.taken.append(area)
        filler.add(other, spot)


def _populate(filler: Filler) -> None:
    """Put nobody to three people in the room, on seats or standing where there is room."""
    rng = filler.rng
    seats = [s for s in filler.seats if filler.floor.sees(s[0], s[1], 1.1)]
    for _ in range(int(rng.choice(4, p=[0.2, 0.42, 0.26, 0.12]))):
        if seats and rng.random() < 0.45:
            x, y, height, facing = seats.pop(int(rng.integers(len(seats))))
            filler.add(people.person(rng, people.seated(rng), height), (x, y, facing))
            continue
        somebody = people.person(rng, people.standing(rng))
        eye, middle = filler.floor.eye, filler.floor.room
        toward = math.atan2(eye[1] - middle[1] / 2, eye[0] - middle[0] / 2)
        place = filler.floor.anywhere(somebody, toward + rng.normal(0, 0.9), tries=40)
        if place:
            filler.add(somebody, place)


def sample_scene(rng: Generator) -> Scene:
    """Draw a room at random: living, dining, bedroom or study, with people and clutter."""
    room = (rng.uniform(3.6, 5.6), rng.uniform(3.6, 5.6), rng.uniform(2.4, 2.8))
    floor = Floor(rng, room)
    filler = Filler(rng, floor)
    faces = room_faces(rng, room)
    window = hang(filler, room)
    (_living, _dining, _bedroom, _study)[rng.integers(4)](filler)
    extras: tuple[tuple[Builder, float], ...] = (
        (furniture.plant, 0.5), (furniture.lamp, 0.4), (furniture.bookshelf, 0.25),
        (furniture.wardrobe, 0.2), (furniture.chair, 0.4), (furniture.sofa, 0.15),
    )  # fmt: skip
    for builder, chance in extras:
        if rng.random() < chance:
            filler.wall_item(builder(rng))
    _populate(filler)
    if rng.random() < 0.6:
        filler.free_item(furniture.clutter(rng), rng.uniform(0, math.pi))
    if rng.random() < 0.5:
        _rug(filler)
    strength = rng.uniform(0.75, 1.1)
    tone = rng.normal(0, 0.05)
    day = rng.uniform(0.3, 0.7) if window is not None else 0.0
    lamp = np.array([room[0] / 2, room[1] / 2, room[2] - 0.1])
    lamp[:2] += rng.uniform(-0.7, 0.7, 2)
    bowl = Material((0.95, 0.9, 0.8), glow=0.9)
    place = (float(lamp[0]), float(lamp[1]), room[2])
    filler.add(
        Item([[ellipsoid('lamp', bowl, place, (0.2, 0.2, 0.07), False)]], 0.4, 0.4),
        (0, 0, 0),
        False,
    )
    solids = faces + filler.solids
    return Scene(
        room,
        solids,
        np.array([-1] * 6 + filler.instance, np.int32),
        floor.eye,
        floor.axes,
        floor.tangent,
        lamp,
        window,
        (strength, day, rng.uniform(0.3, 0.42)),
        (1 + tone, 1.0, 1 - 1.6 * tone),
    )


def _rug(filler: Filler) -> None:
    """A flat rug in the middle of the room; furniture may stand on it."""
    rng = filler.rng
    room = filler.floor.room
    width, depth = rng.uniform(1.4, 2.2), rng.uniform(1.1, 1.7)
    color = hue(rng, rng.uniform(0.5, 0.85), rng.uniform(0.3, 0.6))
    pattern = ('checks', 'stripes', 'weave')[rng.integers(3)]
    material = Material(color, hue(rng, 0.3, 0.5), pattern, rng.uniform(0.25, 0.5))
    rug = box('rug', material, (0, 0, 0.006), (width, depth, 0.012), False)
    x, y = room[0] / 2 + rng.uniform(-0.4, 0.4), room[1] / 2 + rng.uniform(-0.4, 0.4)
    filler.add(Item([[rug]], width, depth), (x, y, math.pi / 2 * rng.integers(2)), thing=False)
