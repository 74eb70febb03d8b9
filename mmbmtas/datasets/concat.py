"""Data sets with different tasks, one after another."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.dataset import ConcatDataset as _ConcatDataset

from mmbmtas.errors import InputError
from mmbmtas.registry import DATASETS

_BY_TASK = ('classes', 'palette', 'units', 'task_kinds')


@DATASETS.register_module()
class ConcatDataset(_ConcatDataset):
    """mmengine's concatenation, for data sets that may have different tasks.

    mmengine's wants the data sets' metainfo to be equal. Here ``tasks`` is the union, and the
    ``classes``, ``palette``, ``units`` and ``task_kinds`` of each task come from the data sets that
    have it; other entries are the first's. A sample has the labels of its own data set; losses and
    metrics of the other tasks leave it out.

    Args:
        datasets: The data sets or their configs.
        lazy_init: Whether to put off the opening of the data sets.

    Raises:
        ValueError: If data sets have a task in common but not its classes.

    Example:
        .. code-block:: python

            dataset = dict(
                type='ConcatDataset',
                datasets=[
                    dict(type='PascalContextMT', tasks=['semseg', 'human_parts'], ...),
                    dict(type='NYUDv2MT', tasks=['depth', 'normals'], ...),
                ],
            )
    """

    def __init__(
        self, datasets: Sequence[BaseDataset | dict[str, Any]], lazy_init: bool = False
    ) -> None:
        built = [DATASETS.build(d) if isinstance(d, Mapping) else d for d in datasets]
        metas = [dataset.metainfo for dataset in built]
        keys = list(dict.fromkeys(key for meta in metas for key in meta))
        super().__init__(built, lazy_init, ignore_keys=keys)
        self._metainfo = merge_metainfo(metas)


def merge_metainfo(metas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the metainfo of data sets, task by task.

    Args:
        metas: Of each data set, with its ``tasks``.

    Returns:
        As :class:`ConcatDataset` describes it.

    Raises:
        ValueError: If a task's classes, colours, unit or kind differ.
    """
    merged = {key: value for meta in reversed(metas) for key, value in meta.items()}
    merged['tasks'] = tuple(dict.fromkeys(task for meta in metas for task in meta.get('tasks', ())))
    for key in _BY_TASK:
        merged[key] = {}
        for meta in metas:
            of_task = meta.get(key, {})
            for task in (task for task in meta.get('tasks', ()) if task in of_task):
                if merged[key].setdefault(task, of_task[task]) != of_task[task]:
                    raise InputError(
                        f'the concatenated data sets have different {key} of {task}: '
                        f'{_brief(merged[key][task])} and {_brief(of_task[task])}. A decoder has '
                        f'one: leave {task} out of the tasks=[...] of all but one kind of them'
                    )
    return merged


def _brief(entry: Any) -> str:
    """An entry for a message: the length of a list, anything else as it is."""
    return repr(entry) if isinstance(entry, str) else str(len(entry))
