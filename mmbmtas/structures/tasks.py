"""The tasks mmbmtas knows, and how their labels behave."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

IGNORE_INDEX = 255
"""Label value left out of losses and metrics in class and binary maps."""

LabelKind = Literal['classes', 'binary', 'normals', 'depth', 'value', 'label']


@dataclass(frozen=True)
class Task:
    """How one task's label map is stored and transformed.

    Attributes:
        name: Task name; its label is ``gt_<name>``, its prediction ``pred_<name>``.
        kind: ``classes`` (integers, 255 ignored), ``binary`` (0, 1, 255 ignored), ``normals``
            (camera-space unit vectors, the zero vector ignored), ``depth`` (metres, 0 ignored),
            ``value`` (any other float map, 0 ignored) or ``label`` (no map: one class of the whole
            image).
        zero_counts: Whether 0 is a value like any other in a map of kind ``value``, where then only
            NaN is unknown.
    """

    name: str
    kind: LabelKind
    zero_counts: bool = False

    @property
    def key(self) -> str:
        """Field of the data sample and of the pipeline's results that holds the label."""
        return f'gt_{self.name}'

    @property
    def pad_value(self) -> float:
        """The value that pads a label map: ignored in every kind."""
        if self.kind in ('classes', 'binary'):
            return IGNORE_INDEX
        return math.nan if self.zero_counts else 0


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task('semseg', 'classes'),
        Task('human_parts', 'classes'),
        Task('saliency', 'binary'),
        Task('normals', 'normals'),
        Task('edge', 'binary'),
        Task('depth', 'depth'),
    )
}


def label_task(name: str, holds_floats: bool, kinds: Mapping[str, LabelKind] | None = None) -> Task:
    """Find a task by its name; the kind of an unknown task follows from its map.

    Args:
        name: Task name.
        holds_floats: Whether the map's numbers are floats.
        kinds: Kinds that a data set states for its tasks. They come before the table; a map of
            kind ``value`` then marks unknown values by NaN only.

    Returns:
        The task as stated, else the entry of :data:`TASKS`, or, for a task of the user's, one of
        kind ``value`` where the map holds floats and ``classes`` where it holds integers.

    Example:
        >>> label_task('albedo', holds_floats=True).kind
        'value'
        >>> label_task('crack', holds_floats=True, kinds={'crack': 'binary'}).kind
        'binary'
    """
    if kinds and name in kinds:
        return Task(name, kinds[name], zero_counts=kinds[name] == 'value')
    return TASKS.get(name) or Task(name, 'value' if holds_floats else 'classes')
