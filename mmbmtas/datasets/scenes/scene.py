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
from .classes import CATEGORY_ID
from .furniture import hue, tint, wood
from .geometry import PLANE, Solids, look_at
from .solids import Item, Material, Solid, box, ellipsoid

Builder = Callable[[Generator], Item]
Rectangle = tuple[float, float, float, float]


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


class _Floor:
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
        x, y = self.eye[:2]
        self.taken.append((x - 0.45, y - 0.45, x + 0.45, y + 0.45))

    def sees(self, x: float, y: float, near: float = 1.3) -> bool:
        """Whether the camera has a point of the floor inside its angle of view."""
        across, _, back = self.axes @ (np.array([x, y, 0.5]) - self.eye)
        return -back > near and abs(across) < -0.95 * back * self.tangent

    def free(self, area: Rectangle, gap: float = 0.05) -> bool:
        x0, y0, x1, y1 = area
        if x0 < 0.02 or y0 < 0.02 or x1 > self.room[0] - 0.02 or y1 > self.room[1] - 0.02:
            return False
        return not any(
            x0 < b1 + gap and b0 < x1 + gap and y0 < d1 + gap and d0 < y1 + gap
            for b0, d0, b1, d1 in self.taken
        )

    def against_wall(self, item: Item, tries: int = 24) -> tuple[float, float, float] | None:
        """A free place in view for the item with its back to a wall: x, y and turn."""
        width, depth = self.room[:2]
        for _ in range(tries):
            wall = int(self.rng.integers(4))
            away = item.depth / 2 + 0.04
            span = (depth if wall < 2 else width) - item.width - 0.06
            if span <= 0:
                continue
            along = 0.03 + item.width / 2 + self.rng.random() * span
            x, y, turn = (
                (away, along, math.pi / 2),
                (width - away, along, -math.pi / 2),
                (along, away, math.pi),
                (along, depth - away, 0.0),
            )[wall]
            if self._take(item, x, y, turn):
                return x, y, turn
        return None

    def anywhere(
        self, item: Item, turn: float, tries: int = 16, near: float = 1.6
    ) -> tuple[float, float, float] | None:
        """A free place in view away from the walls."""
        for _ in range(tries):
            x = self.rng.uniform(0.4, self.room[0] - 0.4)
            y = self.rng.uniform(0.4, self.room[1] - 0.4)
            if self._take(item, x, y, turn, near):
                return x, y, turn
        return None

    def _take(self, item: Item, x: float, y: float, turn: float, near: float = 1.3) -> bool:
        area = footprint(item, x, y, turn)
        if not (self.sees(x, y, near) and self.free(area)):
            return False
        self.taken.append(area)
        return True


def footprint(item: Item, x: float, y: float, turn: float) -> Rectangle:
    """Upright rectangle around an item's footprint: x0, y0, x1, y1 in metres."""
    cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
    width = (cos * item.width + sin * item.depth) / 2
    depth = (sin * item.width + cos * item.depth) / 2
    return x - width, y - depth, x + width, y + depth


def _room_faces(rng: Generator, room: tuple[float, float, float]) -> list[Solid]:
    """Planes in the order of `geometry.cast_room`, local z into the room."""
    paint = hue(rng, rng.uniform(0.05, 0.35), rng.uniform(0.6, 0.85))
    second = (paint[0] * 0.82, paint[1] * 0.82, paint[2] * 0.82)
    pattern = ('plain', 'plain', 'plain', 'stripes')[rng.integers(4)]
    wall = Material(paint, second, pattern, rng.uniform(0.15, 0.4))
    kind = rng.random()
    if kind < 0.55:
        plank = wood(rng)
        ground = Material(plank.color, plank.other, 'planks', rng.uniform(0.09, 0.16), gloss=0.35)
    elif kind < 0.8:
        ground = Material(
            tint(rng, (0.55, 0.5, 0.44)),
            (0.2, 0.19, 0.18),
            'tiles',
            rng.uniform(0.3, 0.5),
            gloss=0.4,
        )
    else:
        ground = Material(tint(rng, (0.4, 0.36, 0.3), 0.3), (0.2, 0.18, 0.15), 'weave', 0.1)
    white = Material(tint(rng, (0.82, 0.81, 0.78), 0.05))
    faces = []
    for face in range(6):
        axis, far = divmod(face, 2)
        inward = np.zeros(3)
        inward[axis] = -1 if far else 1
        first = np.array([0.0, 1.0, 0.0]) if axis == 0 else np.array([1.0, 0.0, 0.0])
        second_axis = np.cross(inward, first)
        if axis < 2 and second_axis[2] < 0:
            first, second_axis = -first, -second_axis
        center = [0.0, 0.0, 0.0]
        center[axis] = room[axis] if far else 0.0
        name = ('wall', 'wall', 'floor')[axis] if face < 5 else 'ceiling'
        material = wall if axis < 2 else (white if far else ground)
        place = (center[0], center[1], center[2])
        axes = np.stack([first, second_axis, inward])
        kind_of = CATEGORY_ID[name]
        faces.append(Solid(PLANE, place, (1, 1, 1), material, kind_of, axes, shadow=False))
    return faces


def _wall_frame(
    room: tuple[float, float, float], wall: int, along: float, height: float
) -> tuple[tuple[float, float], float]:
    """Position on a wall and the turn that points an item's front into the room."""
    width, depth = room[:2]
    place = ((0.0, along), (width, along), (along, 0.0), (along, depth))[wall]
    return place, (math.pi / 2, -math.pi / 2, math.pi, 0.0)[wall]


def _window(rng: Generator, room: tuple[float, float, float]) -> tuple[Item, float]:
    """A window with frame and perhaps curtains, and its centre's height."""
    width, height = rng.uniform(1.0, 1.7), rng.uniform(1.0, 1.3)
    middle = min(0.95 + height / 2, room[2] - height / 2 - 0.15)
    sky = ((0.5, 0.72, 1.0), (0.75, 0.82, 0.9))[rng.integers(2)]
    glass = Material(sky, tint(rng, (0.12, 0.25, 0.06)), 'sky', height, glow=1.0)
    white = Material((0.8, 0.8, 0.78))
    solids = [box('window', glass, (0, 0, middle), (width, 0.01, height))]
    bars = [(0.0, height / 2, width + 0.12, 0.06), (0.0, -height / 2, width + 0.12, 0.06)]
    bars += [(x * width / 2, 0.0, 0.06, height) for x in (-1, 0, 1)]
    solids += [box('window', white, (x, -0.01, middle + z), (w, 0.07, h)) for x, z, w, h in bars]
    if rng.random() < 0.6:
        color = hue(rng, rng.uniform(0.2, 0.7), rng.uniform(0.35, 0.65))
        cloth = Material(color, (color[0] * 0.5, color[1] * 0.5, color[2] * 0.5), 'curtain', 0.11)
        low = rng.uniform(0.05, 0.6)
        tall = middle + height / 2 + 0.15 - low
        for side in (-1, 1):
            place = (side * (width / 2 + 0.13), -0.06, low + tall / 2)
            solids.append(box('curtain', cloth, place, (0.36, 0.07, tall)))
    return Item([solids], width + 0.7, 0.2), middle


def _picture(rng: Generator) -> Item:
    width, height = rng.uniform(0.4, 0.9), rng.uniform(0.35, 0.65)
    middle = 1.55 + rng.uniform(-0.08, 0.08)
    frame = wood(rng) if rng.random() < 0.7 else Material((0.03, 0.03, 0.03))
    canvas = Material(hue(rng, 0.75, 0.65), hue(rng, 0.75, 0.45), 'blotches', rng.uniform(0.4, 0.9))
    solids = [
        box('picture', frame, (0, 0, middle), (width, 0.04, height), False),
        box('picture', canvas, (0, -0.02, middle), (width - 0.07, 0.01, height - 0.07), False),
    ]
    return Item([solids], width, 0.1)


def _door(rng: Generator) -> Item:
    leaf = wood(rng) if rng.random() < 0.5 else Material(tint(rng, (0.75, 0.74, 0.7), 0.08))
    red, green, blue = leaf.color
    frame = Material((red * 0.7, green * 0.7, blue * 0.7))
    metal = Material((0.5, 0.48, 0.4), gloss=0.9)
    solids = [box('door', frame, (0, 0, 1.03), (0.98, 0.06, 2.06), False)]
    solids += [box('door', leaf, (0, -0.025, 1.0), (0.86, 0.03, 1.98), False)]
    solids += [
        box('door', frame, (x, -0.04, z), (0.3, 0.012, h), False)
        for x in (-0.2, 0.2)
        for z, h in ((0.5, 0.7), (1.45, 0.8))
    ]
    solids.append(box('door', metal, (0.36, -0.07, 1.0), (0.11, 0.03, 0.025), False))
    return Item([solids], 0.98, 0.1)


class _Filler:
    """Collects placed items of one room."""

    def __init__(self, rng: Generator, floor: _Floor) -> None:
        self.rng = rng
        self.floor = floor
        self.solids: list[Solid] = []
        self.instance: list[int] = []
        self.objects = 0
        self.seats: list[tuple[float, float, float, float]] = []

    def add(self, item: Item, place: tuple[float, float, float], thing: bool = True) -> Item:
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

    def wall_item(self, item: Item) -> tuple[float, float, float] | None:
        place = self.floor.against_wall(item)
        if place:
            self.add(item, place)
        return place

    def free_item(self, item: Item, turn: float) -> tuple[float, float, float] | None:
        place = self.floor.anywhere(item, turn)
        if place:
            self.add(item, place)
        return place


def _hang(filler: _Filler, room: tuple[float, float, float]) -> NDArray[np.float64] | None:
    """Hang window, door and pictures on free stretches of wall; the window's centre."""
    rng = filler.rng
    window = None
    used: list[tuple[int, float, float]] = []
    todo: list[Item] = []
    middle = 0.0
    if rng.random() < 0.75:
        item, middle = _window(rng, room)
        todo.append(item)
    if rng.random() < 0.5:
        todo.append(_door(rng))
    first_picture = len(todo)
    todo += [_picture(rng) for _ in range(rng.integers(0, 4))]
    for i, item in enumerate(todo):
        for _ in range(12):
            wall = int(rng.integers(4))
            length = room[1] if wall < 2 else room[0]
            if length < item.width + 0.3:
                continue
            along = rng.uniform(item.width / 2 + 0.12, length - item.width / 2 - 0.12)
            (x, y), turn = _wall_frame(room, wall, along, middle)
            clear = all(
                w != wall or abs(along - a) > (item.width + b) / 2 + 0.1 for w, a, b in used
            )
            if not (clear and filler.floor.sees(x, y)):
                continue
            used.append((wall, along, item.width))
            filler.add(item, (x, y, turn), thing=False)
            is_door = item.width == 0.98
            if i >= first_picture:
                break
            if is_door:
                filler.floor.taken.append((x - 0.5, y - 0.5, x + 0.5, y + 0.5))
            else:
                window = np.array([x, y, middle])
                reach = item.width / 2
                side = (0.12, reach) if wall < 2 else (reach, 0.12)
                filler.floor.taken.append((x - side[0], y - side[1], x + side[0], y + side[1]))
            break
    return window


def _living(filler: _Filler) -> None:
    rng = filler.rng
    seat = furniture.sofa(rng)
    place = filler.wall_item(seat)
    if place and rng.random() < 0.7:
        _in_front(filler, seat, place, furniture.table(rng, low=True), rng.uniform(0.35, 0.5))
    filler.wall_item(furniture.sideboard(rng))
    if rng.random() < 0.6:
        filler.free_item(furniture.sofa(rng, single=True), rng.uniform(0, 2 * math.pi))


def _dining(filler: _Filler) -> None:
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


def _bedroom(filler: _Filler) -> None:
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


def _study(filler: _Filler) -> None:
    rng = filler.rng
    item = furniture.table(rng, 'desk')
    place = filler.wall_item(item)
    if place:
        _in_front(filler, item, place, furniture.chair(rng), rng.uniform(-0.1, 0.15), math.pi)
    filler.wall_item(furniture.bookshelf(rng))
    if rng.random() < 0.5:
        filler.wall_item(furniture.sofa(rng))


def _in_front(
    filler: _Filler, item: Item, place: tuple[float, float, float], other: Item, gap: float,
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


def _populate(filler: _Filler) -> None:
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
    floor = _Floor(rng, room)
    filler = _Filler(rng, floor)
    faces = _room_faces(rng, room)
    window = _hang(filler, room)
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


def _rug(filler: _Filler) -> None:
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
