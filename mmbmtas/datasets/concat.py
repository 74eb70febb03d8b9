"""Data sets with different tasks, one after another."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.dataset import ConcatDataset as _ConcatDataset

from mmbmtas.errors import InputError
from mmbmtas.registry import DATASETS

_BY_TASK = ('classes', 'category_ids', 'palette', 'units', 'task_kinds')


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
        domains: Name of each data set's domain, which its samples then carry in their metainfo. By
            default those that data sets have themselves, if they do.

    Raises:
        ValueError: If data sets have a task in common but not its classes, or ``domains`` are not
            those that the data sets state themselves, one each.

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
        self,
        datasets: Sequence[BaseDataset | dict[str, Any]],
        lazy_init: bool = False,
        domains: Sequence[str] | None = None,
    ) -> None:
        if domains is not None and len(domains) != len(datasets):
            raise InputError(
                f'domains {[*domains]} of ConcatDataset: expected one name for each of the '
                f'{len(datasets)} data sets'
            )
        built = [DATASETS.build(d) if isinstance(d, Mapping) else d for d in datasets]
        metas = [dataset.metainfo for dataset in built]
        keys = list(dict.fromkeys(key for meta in metas for key in meta))
        super().__init__(built, lazy_init, ignore_keys=keys)
        self._metainfo = merge_metainfo(metas)
        stated = [getattr(dataset, 'domain', None) for dataset in built]
        self.domains: tuple[str | None, ...] = tuple(domains or stated)
        for own, name in zip(stated, self.domains, strict=True):
            if own not in (None, name):
                raise InputError(
                    f'domains {[*self.domains]} of ConcatDataset: the data set of {own!r} is '
                    f'stated as {name!r}; leave out one of the two'
                )

    def __getitem__(self, idx: int) -> Any:
        """Load a sample, which says of which domain it is."""
        content = super().__getitem__(idx)
        domain = self.domains[self._get_ori_dataset_idx(idx)[0]]
        if domain is not None:
            samples = content['data_samples']
            for sample in samples if isinstance(samples, list) else [samples]:  # views of one image
                sample.set_metainfo({'domain': domain})
        return content

    def get_data_info(self, idx: int) -> dict:
        """Return the information on a sample before it is loaded, with its domain."""
        info = super().get_data_info(idx)
        domain = self.domains[self._get_ori_dataset_idx(idx)[0]]
        return info if domain is None else {**info, 'domain': domain}


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
                        f'{_brief(merged[key][task])} and {_brief(of_task[task])}. A decoder can '
                        f'have only one: leave {task} out of the tasks=[...] of all but one kind '
                        'of them'
                    )
    return merged


def _brief(entry: Any) -> str:
    """An entry for a message: the length of a list, anything else as it is."""
    return repr(entry) if isinstance(entry, str) else str(len(entry))
