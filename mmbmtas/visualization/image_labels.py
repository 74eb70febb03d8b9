"""Draw the class of a whole image."""

from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.structures import LabelData

from mmbmtas.structures.palettes import class_palette

from .contact_sheet import Column
from .label_maps import Legend

_COLOURS = 255
_SIDE = 8


def label_column(
    task: str, fields: Mapping[str, LabelData], names: Sequence[str] | None = None
) -> Column:
    """Draw truth and prediction of an image's class: a colour each, and in words below.

    Args:
        task: Name of the task.
        fields: ``gt`` with ``label``, ``pred`` with ``label`` and ``score``; either may lack.
        names: Name of each class; default its number.

    Returns:
        The column of a contact sheet.
    """
    palette = class_palette(_COLOURS)
    pictures, entries = {}, []
    for key, field in fields.items():
        label = int(field.label)
        red, green, blue = palette[label % _COLOURS]
        colour = (red, green, blue)
        name = names[label] if names and label < len(names) else f'class {label}'
        share = f' {100 * float(field.score[label]):.0f} %' if key == 'pred' else ''
        pictures[key] = np.full((_SIDE, _SIDE, 3), colour, np.uint8)
        entries.append((colour, name + share))
    return Column(task, pictures.get('gt'), pictures.get('pred'), Legend(tuple(entries)))
