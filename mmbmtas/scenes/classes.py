"""What a scene is made of: categories and their ids in the two releases, human parts."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Category(NamedTuple):
    """One kind of thing in a scene.

    Attributes:
        name: Our name.
        voc: PASCAL VOC class, 0 background.
        context: Id among PASCAL-Context's 459 labels (the release's own alphabetical list). 308,
            potted plant, is the one here whose normals the multi-task release leaves out.
        nyu: NYUD-v2's class 1..40 as stored.
        weight: How much such a thing draws the eye; 0 is never salient.
    """

    name: str
    voc: int
    context: int
    nyu: int
    weight: float


CATEGORIES = (
    Category('wall', 0, 440, 1, 0),
    Category('floor', 0, 158, 2, 0),
    Category('ceiling', 0, 68, 22, 0),
    Category('window', 0, 454, 9, 0),
    Category('picture', 0, 287, 11, 0),
    Category('door', 0, 115, 8, 0),
    Category('curtain', 0, 105, 16, 0),
    Category('rug', 0, 330, 20, 0),
    Category('person', 15, 284, 31, 3),
    Category('chair', 9, 72, 5, 1.2),
    Category('sofa', 18, 368, 6, 1),
    Category('table', 11, 397, 7, 1),
    Category('desk', 11, 397, 14, 1),
    Category('bed', 0, 18, 4, 1),
    Category('cabinet', 0, 46, 3, 0.6),
    Category('nightstand', 0, 46, 32, 0.6),
    Category('dresser', 0, 46, 17, 0.6),
    Category('bookshelf', 0, 349, 10, 0.6),
    Category('books', 0, 33, 23, 0),
    Category('television', 20, 427, 25, 1.5),
    Category('bottle', 5, 34, 40, 1),
    Category('plant', 16, 308, 40, 1.5),
    Category('lamp', 0, 232, 35, 1),
    Category('pillow', 0, 290, 18, 0.5),
    Category('box', 0, 37, 29, 1),
    Category('ball', 0, 10, 40, 1.5),
)
CATEGORY_ID = {category.name: i for i, category in enumerate(CATEGORIES)}

PERSON = CATEGORY_ID['person']

PARTS = (
    'none', 'head', 'hair', 'lear', 'rear', 'leye', 'reye', 'nose', 'mouth', 'neck', 'torso',
    'luarm', 'llarm', 'lhand', 'ruarm', 'rlarm', 'rhand',
    'luleg', 'llleg', 'lfoot', 'ruleg', 'rlleg', 'rfoot',
)  # fmt: skip
"""Names of PASCAL-Part's parts of a person that we draw; index 0 stands for no part."""
PART_ID = {name: i for i, name in enumerate(PARTS)}


def lookup(field: str) -> NDArray[np.uint16]:
    """Table from our category index to ``voc``, ``context`` or ``nyu``, ``(len(CATEGORIES),)``."""
    return np.array([getattr(category, field) for category in CATEGORIES], np.uint16)
