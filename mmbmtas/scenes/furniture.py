"""Furniture and small things, composed of solids: each function draws one item at random.

Items stand around the origin with their backs toward +y and their fronts toward -y. Lengths in
metres. Colours and patterns lean on the class, so that a class can be told by its looks as well as
by its shape.
"""

import colorsys
import math

from numpy.random import Generator

from .solids import Item, Material, Solid, Vector, box, cylinder, ellipsoid

WOODS: tuple[Vector, ...] = (
    (0.42, 0.22, 0.09), (0.55, 0.34, 0.16), (0.24, 0.11, 0.05), (0.62, 0.45, 0.27),
)  # fmt: skip


def tint(rng: Generator, color: Vector, spread: float = 0.12) -> Vector:
    """The colour times a random grey, and each channel a little on its own; clipped to 0..1."""
    grey = 1 + rng.uniform(-spread, spread)
    red, green, blue = (grey + rng.uniform(-spread, spread, 3) / 3).tolist()
    return min(color[0] * red, 1.0), min(color[1] * green, 1.0), min(color[2] * blue, 1.0)


def hue(rng: Generator, saturation: float, value: float) -> Vector:
    """A colour of random hue, linear RGB."""
    return colorsys.hsv_to_rgb(rng.random(), saturation, value)


def wood(rng: Generator) -> Material:
    """Grained wood of a random tone."""
    color = tint(rng, WOODS[rng.integers(len(WOODS))])
    dark = (color[0] * 0.55, color[1] * 0.5, color[2] * 0.45)
    return Material(color, dark, 'wood', rng.uniform(0.08, 0.16), gloss=0.25)


def fabric(rng: Generator, color: Vector) -> Material:
    """Cloth: plain, striped or checked."""
    pattern = ('weave', 'weave', 'stripes', 'checks')[rng.integers(4)]
    other = (color[0] * 0.6, color[1] * 0.6, color[2] * 0.6)
    return Material(color, other, pattern, rng.uniform(0.12, 0.3))


def _legs(
    category: str, material: Material, width: float, depth: float, height: float, side: float
) -> list[Solid]:
    x, y = width / 2 - side, depth / 2 - side
    return [
        box(category, material, (sx * x, sy * y, height / 2), (side, side, height))
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]


def table(rng: Generator, category: str = 'table', low: bool = False) -> Item:
    """Dining table or desk, or a low table in front of a sofa."""
    width, depth = rng.uniform(1.1, 1.7), rng.uniform(0.7, 0.9)
    height = rng.uniform(0.7, 0.76)
    if low:
        width, depth, height = width * 0.65, depth * 0.7, rng.uniform(0.38, 0.46)
    material = wood(rng)
    top = box(category, material, (0, 0, height - 0.02), (width, depth, 0.045))
    if category == 'desk' or low or rng.random() < 0.7:
        rest = _legs(category, material, width - 0.06, depth - 0.06, height - 0.04, 0.06)
    else:
        rest = [
            cylinder(category, material, (0, 0, 0.03), 0.06, height - 0.06),
            cylinder(category, material, (0, 0, 0), 0.3, 0.04),
        ]
    if category == 'desk':
        drawers = (width / 2 - 0.22, 0.0, height / 2 + 0.03)
        rest.append(box(category, material, drawers, (0.36, depth - 0.1, height - 0.12)))
    groups = [[top, *rest]]
    if category == 'desk':
        groups.append(_screen(rng, rng.uniform(0.5, 0.65), height, 0.15))
    else:
        for _ in range(rng.integers(0, 3)):
            spot = (rng.uniform(-0.35, 0.35) * width, rng.uniform(-0.3, 0.3) * depth, height)
            groups.append(bottle(rng, spot))
    return Item(groups, width, depth)


def bottle(rng: Generator, base: Vector) -> list[Solid]:
    """A bottle standing at ``base``."""
    color = ((0.02, 0.2, 0.05), (0.25, 0.08, 0.02), (0.05, 0.15, 0.35))[rng.integers(3)]
    glass = Material(tint(rng, color), gloss=0.9)
    label = Material((0.8, 0.75, 0.6))
    x, y, z = base
    radius, height = rng.uniform(0.04, 0.05), rng.uniform(0.18, 0.24)
    return [
        cylinder('bottle', glass, base, radius, height),
        cylinder('bottle', label, (x, y, z + 0.05), radius + 0.002, height * 0.4),
        ellipsoid('bottle', glass, (x, y, z + height), (radius, radius, 0.04)),
        cylinder('bottle', glass, (x, y, z + height), radius * 0.38, 0.1),
    ]


def _screen(rng: Generator, width: float, base: float, y: float = 0.0) -> list[Solid]:
    """A television or monitor on a foot, its foot at height ``base``."""
    case = Material((0.015, 0.015, 0.017), gloss=0.4)
    height = width * 0.58
    middle = base + 0.07 + height / 2
    on = rng.random() < 0.6
    picture = Material(
        hue(rng, 0.6, 0.45) if on else (0.02, 0.022, 0.028),
        hue(rng, 0.7, 0.3) if on else (0.03, 0.032, 0.04),
        'blotches' if on else 'plain',
        width * 0.5,
        gloss=0.8,
        glow=0.8 if on else 0.0,
    )
    return [
        box('television', case, (0, y, middle), (width, 0.05, height)),
        box('television', picture, (0, y - 0.026, middle), (width - 0.05, 0.006, height - 0.05)),
        box('television', case, (0, y, base + 0.04), (0.07, 0.04, 0.08)),
        box('television', case, (0, y, base + 0.01), (width * 0.4, 0.18, 0.02)),
    ]


def chair(rng: Generator) -> Item:
    """Chair with four legs."""
    width, depth, seat = rng.uniform(0.42, 0.47), rng.uniform(0.42, 0.46), rng.uniform(0.43, 0.47)
    tall = rng.uniform(0.4, 0.52)
    frame = wood(rng)
    cloth = Material(hue(rng, 0.75, rng.uniform(0.25, 0.5)), pattern='weave', scale=0.05)
    cover = cloth if rng.random() < 0.6 else frame
    solids = _legs('chair', frame, width, depth, seat, 0.04)
    solids.append(box('chair', cover, (0, 0, seat), (width, depth, 0.05)))
    back = depth / 2 - 0.02
    if rng.random() < 0.5:
        solids.append(box('chair', cover, (0, back, seat + tall * 0.6), (width, 0.04, tall * 0.8)))
    else:
        for sx in (-1, 1):
            post = (sx * (width / 2 - 0.02), back, seat + tall / 2)
            solids.append(box('chair', frame, post, (0.04, 0.035, tall)))
        for share in (0.45, 0.88):
            slat = (0.0, back, seat + tall * share)
            solids.append(box('chair', frame, slat, (width, 0.03, 0.1)))
    seats = [(0.0, -0.02, seat + 0.025, -math.pi / 2)]
    return Item([solids], width, depth, seats)


def sofa(rng: Generator, single: bool = False) -> Item:
    """Sofa for two or three, or an armchair (which PASCAL and NYUD-v2 call a sofa and a chair)."""
    places = 1 if single else int(rng.integers(2, 4))
    arm, width = 0.17, 0.62 * places + 0.34
    depth, seat, top = rng.uniform(0.82, 0.95), rng.uniform(0.4, 0.45), rng.uniform(0.75, 0.88)
    kind = 'chair' if single else 'sofa'
    saturation, value = (0.65, rng.uniform(0.25, 0.5)) if rng.random() < 0.8 else (0.05, 0.3)
    cover = fabric(rng, hue(rng, saturation, value))
    inner = width - 2 * arm
    solids = [
        box(kind, cover, (0, 0.02, 0.16), (width, depth - 0.04, 0.2)),
        box(kind, cover, (0, depth / 2 - 0.12, top / 2 + 0.03), (width, 0.24, top - 0.06)),
    ]
    for sx in (-1, 1):
        solids.append(box(kind, cover, (sx * (width - arm) / 2, 0, 0.34), (arm, depth, 0.56)))
    seats = []
    for i in range(places):
        x = (i + 0.5) / places * inner - inner / 2
        size = (inner / places - 0.015, depth - 0.26, seat - 0.25)
        solids.append(box(kind, cover, (x, -0.12, (seat + 0.25) / 2), size))
        seats.append((x, -0.08, seat, -math.pi / 2))
    groups = [solids]
    if not single and rng.random() < 0.7:
        cushion = fabric(rng, hue(rng, 0.8, 0.6))
        x = (inner / 2 - 0.2) * (-1 if rng.random() < 0.5 else 1)
        groups.append([ellipsoid('pillow', cushion, (x, 0.06, seat + 0.17), (0.2, 0.09, 0.19))])
        seats = [s for s in seats if abs(s[0] - x) > 0.4]
    return Item(groups, width, depth, seats)


def bed(rng: Generator) -> Item:
    """Bed with a headboard at its back, blanket and pillows."""
    width, depth = (rng.uniform(1.4, 1.7) if rng.random() < 0.6 else 0.95), 2.0
    frame = wood(rng)
    sheet = Material(tint(rng, (0.78, 0.77, 0.74), 0.06))
    blanket = fabric(rng, hue(rng, rng.uniform(0.3, 0.6), rng.uniform(0.5, 0.75)))
    solids = [
        box('bed', frame, (0, 0, 0.18), (width, depth, 0.2)),
        box('bed', frame, (0, depth / 2 - 0.03, 0.5), (width + 0.06, 0.06, 1.0)),
        box('bed', sheet, (0, -0.02, 0.37), (width - 0.06, depth - 0.1, 0.2)),
        box('bed', blanket, (0, -0.32, 0.4), (width + 0.02, depth - 0.62, 0.22)),
    ]
    solids += [
        box(
            'bed',
            frame,
            (sx * (width / 2 - 0.05), sy * (depth / 2 - 0.05), 0.05),
            (0.08, 0.08, 0.1),
        )
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    groups = [solids]
    cover = Material(tint(rng, (0.85, 0.84, 0.82), 0.05))
    places = (-width / 4, width / 4) if width > 1.2 else (0.0,)
    for x in places:
        groups.append(
            [ellipsoid('pillow', cover, (x, depth / 2 - 0.3, 0.52), (width * 0.2, 0.2, 0.09))]
        )
    return Item(groups, width + 0.06, depth)


def _cupboard(
    rng: Generator,
    category: str,
    width: float,
    depth: float,
    height: float,
    rows: int,
    columns: int,
) -> list[Solid]:
    """A body with rows and columns of doors or drawers, each with a knob."""
    if rng.random() < 0.6:
        body = wood(rng)
    else:
        body = Material(tint(rng, (0.68, 0.66, 0.6), 0.1), gloss=0.15)
    red, green, blue = body.color
    gap = Material((red * 0.6, green * 0.6, blue * 0.6))
    knob = Material((0.5, 0.48, 0.42), gloss=0.9)
    front, middle = -depth / 2, height / 2
    solids = [
        box(category, body, (0, 0, middle), (width, depth, height)),
        box(category, gap, (0, front, middle), (width - 0.03, 0.006, height - 0.03), False),
    ]
    wide, tall = (width - 0.03) / columns, (height - 0.03) / rows
    for row in range(rows):
        for column in range(columns):
            x = (column + 0.5) * wide - (width - 0.03) / 2
            z = 0.015 + (row + 0.5) * tall
            grip = x + (0.35 * wide if tall > wide else 0)
            size = (wide - 0.02, 0.012, tall - 0.02)
            solids.append(box(category, body, (x, front - 0.008, z), size, False))
            solids.append(box(category, knob, (grip, front - 0.02, z), (0.09, 0.02, 0.02), False))
    return solids


def wardrobe(rng: Generator) -> Item:
    """Tall cabinet."""
    width, depth, height = rng.uniform(0.9, 1.5), rng.uniform(0.5, 0.6), rng.uniform(1.8, 2.1)
    return Item([_cupboard(rng, 'cabinet', width, depth, height, 1, 2)], width, depth)


def dresser(rng: Generator) -> Item:
    """Chest of drawers."""
    width, depth, height = rng.uniform(0.8, 1.1), rng.uniform(0.42, 0.5), rng.uniform(0.75, 0.95)
    return Item([_cupboard(rng, 'dresser', width, depth, height, 3, 1)], width, depth)


def nightstand(rng: Generator) -> Item:
    """Night stand with a lamp on it."""
    width, depth, height = 0.42, 0.38, rng.uniform(0.45, 0.55)
    body = _cupboard(rng, 'nightstand', width, depth, height, 2, 1)
    return Item([body, _lampshade(rng, 0.05, height, height + 0.22, 0.13, 0.18)], width, depth)


def sideboard(rng: Generator) -> Item:
    """Low cabinet with a television on it."""
    width, depth, height = rng.uniform(1.2, 1.7), rng.uniform(0.4, 0.46), rng.uniform(0.42, 0.55)
    body = _cupboard(rng, 'cabinet', width, depth, height, 1, 3)
    return Item([body, _screen(rng, rng.uniform(0.85, 1.2), height)], width, depth)


def bookshelf(rng: Generator) -> Item:
    """Shelves with rows of books."""
    width, depth, height = rng.uniform(0.8, 1.2), 0.3, rng.uniform(1.6, 2.0)
    frame = wood(rng)
    boards = int(rng.integers(4, 6))
    gap = (height - 0.06) / boards
    solids = [
        box('bookshelf', frame, (sx * (width / 2 - 0.015), 0, height / 2), (0.03, depth, height))
        for sx in (-1, 1)
    ]
    solids.append(box('bookshelf', frame, (0, depth / 2 - 0.01, height / 2), (width, 0.02, height)))
    books = []
    for i in range(boards + 1):
        z = 0.03 + i * gap
        solids.append(box('bookshelf', frame, (0, 0, z), (width - 0.06, depth - 0.02, 0.025)))
        if i < boards and rng.random() < 0.85:
            tall, share = rng.uniform(0.55, 0.8) * gap, rng.uniform(0.5, 0.95)
            wide = (width - 0.08) * share
            x = (width - 0.08 - wide) / 2 * (-1 if rng.random() < 0.5 else 1)
            spines = Material(
                (rng.random(), rng.random(), rng.random()),
                pattern='spines',
                scale=rng.uniform(0.035, 0.05),
            )
            place = (x, 0.02, z + 0.0125 + tall / 2)
            books.append(box('books', spines, place, (wide, 0.2, tall), shadow=False))
    return Item([solids, books], width, depth)


def _lampshade(
    rng: Generator, x: float, base: float, shade: float, radius: float, tall: float
) -> list[Solid]:
    metal = Material((0.12, 0.11, 0.1), gloss=0.7)
    cloth = Material(tint(rng, (0.9, 0.78, 0.5)), glow=0.75)
    return [
        cylinder('lamp', metal, (x, 0, base), radius * 0.75, 0.03),
        cylinder('lamp', metal, (x, 0, base), 0.014, shade - base + 0.02),
        cylinder('lamp', cloth, (x, 0, shade), radius, tall),
    ]


def lamp(rng: Generator) -> Item:
    """Floor lamp."""
    radius = rng.uniform(0.17, 0.23)
    solids = _lampshade(rng, 0.0, 0.0, rng.uniform(1.3, 1.5), radius, rng.uniform(0.24, 0.32))
    return Item([solids], 2 * radius, 2 * radius)


def plant(rng: Generator) -> Item:
    """Potted plant: a pot, a stem and lumps of leaves."""
    radius, height = rng.uniform(0.14, 0.2), rng.uniform(0.25, 0.38)
    clay = Material(
        tint(rng, (0.5, 0.18, 0.08)) if rng.random() < 0.7 else tint(rng, (0.6, 0.6, 0.58))
    )
    soil = Material((0.05, 0.03, 0.02))
    leaf = Material(tint(rng, (0.06, 0.26, 0.05), 0.25), (0.01, 0.07, 0.01), 'leaves', 0.1)
    stem = rng.uniform(0.2, 0.5)
    solids = [
        cylinder('plant', clay, (0, 0, 0), radius, height),
        cylinder('plant', clay, (0, 0, height - 0.05), radius + 0.02, 0.05),
        cylinder('plant', soil, (0, 0, height - 0.01), radius - 0.01, 0.015),
        cylinder('plant', Material((0.15, 0.08, 0.03)), (0, 0, height), 0.02, stem),
    ]
    top = height + stem + 0.05
    for i in range(rng.integers(4, 7)):
        angle = i * 2.4 + rng.random()
        away = radius * rng.uniform(0.3, 1.0)
        place = (away * math.cos(angle), away * math.sin(angle), top + rng.uniform(-0.1, 0.25))
        size = rng.uniform(0.11, 0.19)
        solids.append(ellipsoid('plant', leaf, place, (size, size, size * rng.uniform(0.8, 1.5))))
    return Item([solids], 2 * radius + 0.15, 2 * radius + 0.15)


def clutter(rng: Generator) -> Item:
    """A ball or a cardboard box on the floor."""
    if rng.random() < 0.5:
        radius = rng.uniform(0.11, 0.18)
        skin = Material(hue(rng, 0.9, 0.7), (0.8, 0.8, 0.78), 'stripes', radius * 1.2, gloss=0.5)
        solids = [ellipsoid('ball', skin, (0, 0, radius), (radius, radius, radius))]
        return Item([solids], 2 * radius, 2 * radius)
    size = rng.uniform(0.28, 0.45)
    card = Material(tint(rng, (0.48, 0.33, 0.18)), (0.6, 0.5, 0.35), 'tape', size)
    return Item(
        [[box('box', card, (0, 0, size * 0.35), (size, size * 0.8, size * 0.7))]], size, size
    )
