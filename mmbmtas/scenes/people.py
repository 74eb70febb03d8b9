"""Articulated people: joints from a pose's angles, solids around the joints. Lengths in metres.

A person's frame is x forward, y to the person's left, z up. Angles are radians; a limb's angles are
its swing forward from straight down, and its spread away from the body.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .classes import CATEGORY_ID, PART_ID
from .furniture import hue, tint
from .geometry import ELLIPSOID
from .solids import UPRIGHT, Item, Material, Solid, Vector, limb

SKINS = ((0.72, 0.46, 0.33), (0.62, 0.37, 0.24), (0.45, 0.25, 0.14), (0.22, 0.11, 0.06))
HAIRS = ((0.03, 0.02, 0.015), (0.12, 0.06, 0.025), (0.4, 0.25, 0.09), (0.3, 0.29, 0.28))

Swing = tuple[float, float]

HIP = 0.085
"""Height of the hips' joints over the seat."""
SOLE = 0.03
"""Height of the ankle over the middle of the foot."""


@dataclass(frozen=True)
class Pose:
    """Angles of the joints, the left side's first.

    Attributes:
        thighs: Swing and spread of the upper legs.
        shins: Swing of the lower legs.
        arms: Swing and spread of the upper arms.
        forearms: Swing and spread of the lower arms (spread inward is negative).
        lean: Of the torso, forward.
        head: Turn of the head to the left.
        sitting: Whether the hips rest on a seat rather than the feet on the floor.
    """

    thighs: tuple[Swing, Swing]
    shins: tuple[float, float]
    arms: tuple[Swing, Swing]
    forearms: tuple[Swing, Swing]
    lean: float
    head: float
    sitting: bool = False


def standing(rng: Generator) -> Pose:
    """Standing or walking, arms hanging, waving, bent or on the hips."""
    stride = rng.uniform(0.2, 0.45) if rng.random() < 0.45 else rng.uniform(0, 0.06)
    side = 1 if rng.random() < 0.5 else -1
    legs = (side * stride, -side * stride)
    swings, elbows = [], []
    for leg in legs:
        kind = rng.random()
        if kind < 0.55:
            swing = (-0.8 * leg + rng.normal(0, 0.08), rng.uniform(0.1, 0.22))
            elbow = (swing[0] + rng.uniform(0.1, 0.4), rng.uniform(0.0, 0.12))
        elif kind < 0.7:
            swing = (rng.uniform(0.2, 0.6), rng.uniform(1.1, 1.5))
            elbow = (rng.uniform(2.4, 2.9), rng.uniform(-0.1, 0.35))
        elif kind < 0.85:
            swing = (rng.uniform(-0.35, -0.15), rng.uniform(0.55, 0.75))
            elbow = (rng.uniform(0.1, 0.3), rng.uniform(-0.75, -0.6))
        else:
            swing = (rng.uniform(0.3, 0.9), rng.uniform(0.1, 0.3))
            elbow = (rng.uniform(1.3, 1.9), rng.uniform(-0.4, 0.1))
        swings.append(swing)
        elbows.append(elbow)
    thighs = ((legs[0], rng.uniform(0.03, 0.1)), (legs[1], rng.uniform(0.03, 0.1)))
    shins = (
        legs[0] - 0.5 * stride * (legs[0] < 0) - 0.03,
        legs[1] - 0.5 * stride * (legs[1] < 0) - 0.03,
    )
    return Pose(
        thighs,
        shins,
        (swings[0], swings[1]),
        (elbows[0], elbows[1]),
        rng.uniform(-0.02, 0.08) + 0.1 * stride,
        rng.uniform(-0.6, 0.6),
    )


def seated(rng: Generator) -> Pose:
    """Sitting, hands on the thighs or in the lap."""
    spread = rng.uniform(0.05, 0.2)
    lean = rng.uniform(-0.05, 0.1)

    def arm() -> Swing:
        return rng.uniform(0.15, 0.4), rng.uniform(0.08, 0.2)

    def forearm() -> Swing:
        return rng.uniform(1.1, 1.3), rng.uniform(-0.35, -0.1)

    return Pose(
        ((math.pi / 2 - 0.04, spread), (math.pi / 2 - 0.04, spread)),
        (rng.uniform(-0.15, 0.25), rng.uniform(-0.15, 0.25)),
        (arm(), arm()),
        (forearm(), forearm()),
        lean,
        rng.uniform(-0.6, 0.6),
        sitting=True,
    )


def _direction(swing: float, spread: float, side: int) -> Vector:
    """Unit vector: straight down turned forward by ``swing``, then outward by ``spread``."""
    cos = math.cos(spread)
    return math.sin(swing) * cos, side * math.sin(spread), -math.cos(swing) * cos


# Vectors are tuples: an array of three numbers takes many times as long.
def _beyond(start: Vector, length: float, direction: Vector) -> Vector:
    """The point ``length`` from another one in a direction."""
    (x, y, z), (a, b, c) = start, direction
    return x + length * a, y + length * b, z + length * c


def _oval(
    center: Vector, radii: Vector, material: Material, part: str, axes: NDArray,
    shadow: bool = False,
) -> Solid:  # fmt: skip
    category, number = CATEGORY_ID['person'], PART_ID[part]
    return Solid(ELLIPSOID, center, radii, material, category, axes, number, shadow=shadow)


def _head(neck: Vector, size: float, turn: float, skin: Material, hair: Material) -> list[Solid]:
    cos, sin = math.cos(turn), math.sin(turn)
    axes = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    center = _beyond(neck, size, (0.02, 0.0, 0.13))
    eye = Material((0.04, 0.03, 0.03), gloss=0.5)
    lips = Material((0.45, 0.12, 0.1))

    def at(x: float, y: float, z: float) -> Vector:
        return _beyond(center, size, (cos * x - sin * y, sin * x + cos * y, z))

    def feature(place: Vector, radii: Vector, of: Material, part: str) -> Solid:
        return _oval(place, (radii[0] * size, radii[1] * size, radii[2] * size), of, part, axes)

    head = _oval(center, (0.095 * size, 0.078 * size, 0.12 * size), skin, 'head', axes, True)
    top = _oval(
        at(-0.025, 0, 0.035), (0.095 * size, 0.088 * size, 0.105 * size), hair, 'hair', axes, True
    )
    return [
        head,
        top,
        feature(at(0.0, 0.08, 0.0), (0.02, 0.014, 0.032), skin, 'lear'),
        feature(at(0.0, -0.08, 0.0), (0.02, 0.014, 0.032), skin, 'rear'),
        feature(at(0.085, 0.032, 0.02), (0.009, 0.016, 0.009), eye, 'leye'),
        feature(at(0.085, -0.032, 0.02), (0.009, 0.016, 0.009), eye, 'reye'),
        feature(at(0.095, 0, -0.015), (0.022, 0.014, 0.022), skin, 'nose'),
        feature(at(0.081, 0, -0.06), (0.012, 0.028, 0.009), lips, 'mouth'),
    ]


def _leg(
    hip: Vector, thigh: Swing, shin: float, side: int, size: float, clothes: Material,
    calf: Material, shoe: Material,
) -> list[Solid]:  # fmt: skip
    name = 'l' if side > 0 else 'r'
    knee = _beyond(hip, 0.43 * size, _direction(*thigh, side))
    ankle = _beyond(knee, 0.42 * size, _direction(shin, 0.0, side))
    x, y, z = ankle
    heel, toe = (x - 0.03, y, z - SOLE), (x + 0.16 * size, y + side * 0.02, z - SOLE - 0.01)
    return [
        limb(hip, knee, 0.078 * size, clothes, name + 'uleg'),
        limb(knee, ankle, 0.055 * size, calf, name + 'lleg'),
        limb(heel, toe, 0.045 * size, shoe, name + 'foot'),
    ]


def _arm(
    shoulder: Vector, upper: Swing, lower: Swing, side: int, size: float, sleeve: Material,
    forearm: Material, skin: Material,
) -> list[Solid]:  # fmt: skip
    name = 'l' if side > 0 else 'r'
    elbow = _beyond(shoulder, 0.29 * size, _direction(*upper, side))
    along = _direction(*lower, side)
    wrist = _beyond(elbow, 0.25 * size, along)
    knuckles, tips = _beyond(wrist, 0.03, along), _beyond(wrist, 0.1 * size, along)
    return [
        limb(shoulder, elbow, 0.049 * size, sleeve, name + 'uarm'),
        limb(elbow, wrist, 0.04 * size, forearm, name + 'larm'),
        limb(knuckles, tips, 0.038 * size, skin, name + 'hand'),
    ]


def person(rng: Generator, pose: Pose, seat: float = 0.0) -> Item:
    """A person at the origin, facing +x, as an `Item` of one object.

    Args:
        rng: Source of size, skin and clothes.
        pose: Angles of the joints.
        seat: Height of the seat for a sitting pose, metres.
    """
    size = rng.uniform(0.9, 1.06)
    skin = Material(tint(rng, SKINS[rng.integers(len(SKINS))], 0.08))
    hair = Material(tint(rng, HAIRS[rng.integers(len(HAIRS))], 0.2), gloss=0.2)
    bright = hue(rng, rng.uniform(0.4, 0.9), rng.uniform(0.3, 0.75))
    pattern = ('plain', 'plain', 'stripes', 'checks')[rng.integers(4)]
    shirt = Material(bright, tint(rng, (0.7, 0.7, 0.68)), pattern, rng.uniform(0.07, 0.12))
    trousers = Material(
        ((0.03, 0.05, 0.13), (0.03, 0.03, 0.03), (0.22, 0.16, 0.09))[rng.integers(3)]
    )
    shoe = Material(((0.02, 0.02, 0.02), (0.1, 0.05, 0.02), (0.7, 0.7, 0.7))[rng.integers(3)])
    short = rng.random() < 0.5
    calf = skin if rng.random() < 0.15 else trousers
    solids: list[Solid] = []
    hips = (0.0, 0.0, 0.0)
    thighs = _seated_thighs(pose, seat, size) if pose.sitting else pose.thighs
    up = (math.sin(pose.lean), 0.0, math.cos(pose.lean))
    chest = _beyond(hips, 0.44 * size, up)
    neck = _beyond(hips, 0.52 * size, up)
    left = (0.0, 1.0, 0.0)
    for i, side in enumerate((1, -1)):
        hip = _beyond(hips, side * 0.095 * size, left)
        solids += _leg(hip, thighs[i], pose.shins[i], side, size, trousers, calf, shoe)
        shoulder = _beyond(chest, side * 0.185 * size, left)
        solids += _arm(
            shoulder,
            pose.arms[i],
            pose.forearms[i],
            side,
            size,
            shirt,
            skin if short else shirt,
            skin,
        )
    low, high = _beyond(hips, 0.08 * size, up), _beyond(hips, 0.37 * size, up)
    broad = 0.165 * size
    yoke = (_beyond(chest, 0.14 * size, left), _beyond(chest, -0.14 * size, left))
    nape, throat = _beyond(neck, -0.05, up), _beyond(neck, 0.05 * size, up)
    solids += [
        limb(low, high, 0.105 * size, shirt, 'torso', left, broad),
        limb(yoke[0], yoke[1], 0.068 * size, shirt, 'torso'),
        _oval(hips, (0.11 * size, 0.16 * size, 0.1 * size), trousers, 'torso', UPRIGHT, True),
        limb(nape, throat, 0.05 * size, skin, 'neck'),
    ]
    solids += _head(neck, size, pose.head, skin, hair)
    lift = seat + HIP * size if pose.sitting else -min(_lowest(solid) for solid in solids)
    forward, aside = map(max, zip(*map(_reach, solids), strict=True))
    for solid in solids:
        x, y, z = solid.center
        solid.center = (x, y, z + lift)
    return Item([solids], 2 * forward, 2 * aside)


def _seated_thighs(pose: Pose, seat: float, size: float) -> tuple[Swing, Swing]:
    """The pose's thighs, raised or lowered so that the feet come to the floor."""

    def settle(thigh: Swing, shin: float) -> Swing:
        ankle = (SOLE + 0.045 * size) + 0.42 * size * math.cos(shin)
        fall = (seat + HIP * size - ankle) / (0.43 * size)
        return math.pi / 2 - math.asin(min(max(fall, -0.35), 0.35)), thigh[1]

    return settle(pose.thighs[0], pose.shins[0]), settle(pose.thighs[1], pose.shins[1])


def _lowest(solid: Solid) -> float:
    along = float(solid.axes[2, 2]) * solid.half[2] * solid.stretch
    return solid.center[2] - abs(along) - max(solid.half[:2])


def _reach(solid: Solid) -> tuple[float, float]:
    """How far a solid comes from the body's axis, forward or back, and to the side."""
    forward, aside, _ = solid.axes[2].tolist()
    length, breadth = solid.half[2] * solid.stretch, solid.half[1]
    x, y, _ = solid.center
    return abs(x) + (abs(forward) * length + breadth), abs(y) + (abs(aside) * length + breadth)
