"""The room itself: its six faces, and the window, door and pictures on its walls."""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .classes import CATEGORY_ID
from .furniture import hue, tint, wood
from .geometry import PLANE, cross
from .placing import Filler
from .solids import Item, Material, Solid, box


def room_faces(rng: Generator, room: tuple[float, float, float]) -> list[Solid]:
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
        second_axis = cross(inward, first)
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


def hang(filler: Filler, room: tuple[float, float, float]) -> NDArray[np.float64] | None:
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
