"""What the multi-task datasets share: a split's ids, its tasks, and the check that files exist."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mmengine.dataset import BaseDataset

from mmbmtas.registry import TRANSFORMS

_NUM_SHOWN = 5


class MultiTaskDataset(BaseDataset):
    """A folder of images with one label file a task.

    A sample's information is ``img_path``, ``img_id``, ``label_paths`` (label name to path; what
    the dataset's loading transform reads), and ``tasks``. All files are looked for when the dataset
    is opened, their contents are read with the sample. Subclasses name the tasks they have labels
    for in :attr:`TASKS` and implement :meth:`id_file` and :meth:`sample_files`.

    Args:
        data_root: Folder that holds the unpacked dataset.
        split: Which list of ids to take.
        tasks: Names of the tasks whose labels to load; default all that the dataset has.
        pipeline: Transforms of a sample, configs or callables. Names are looked up in mmbmtas,
            then in mmengine and mmcv.
        test_mode: Whether a sample that the pipeline rejects is an error instead of being
            replaced by another.
        lazy_init: Whether to put off the reading of the lists until the first use.
        metainfo: Entries that replace those of :attr:`METAINFO`.
        indices: First ``n`` samples, or positions of the samples, to keep.
        serialize_data: Whether to hold the list of samples as bytes that workers share.
        max_refetch: Number of times a rejected sample is replaced.

    Raises:
        ValueError: If a split or task is unknown, or the list of ids is empty.
        FileNotFoundError: If the list of ids or any file of the split is missing.
    """

    TASKS: tuple[str, ...] = ()

    def __init__(
        self,
        data_root: str,
        split: Literal['train', 'val'] = 'train',
        tasks: Sequence[str] | None = None,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        lazy_init: bool = False,
        metainfo: Mapping | None = None,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        max_refetch: int = 1000,
    ) -> None:
        if split not in ('train', 'val'):
            raise ValueError(f"split must be 'train' or 'val', got {split!r}")
        self.split = split
        self.tasks = list(self.TASKS if tasks is None else tasks)
        unknown = [task for task in self.tasks if task not in self.TASKS]
        if unknown or not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise ValueError(
                f'tasks of {type(self).__name__} must be distinct names out of '
                f'{", ".join(self.TASKS)}; got {self.tasks}'
            )
        super().__init__(
            data_root=str(data_root),
            data_prefix={},
            metainfo=metainfo,
            pipeline=[TRANSFORMS.build(t) if isinstance(t, Mapping) else t for t in pipeline],
            test_mode=test_mode,
            lazy_init=lazy_init,
            indices=indices,
            serialize_data=serialize_data,
            max_refetch=max_refetch,
        )
        self._metainfo['tasks'] = tuple(self.tasks)

    def id_file(self) -> Path:
        """The text file that lists the split's ids, one a line."""
        raise NotImplementedError

    def sample_files(self, ids: list[str]) -> list[dict[str, list[str]]]:
        """Where the files of each sample may lie.

        Args:
            ids: The split's ids.

        Returns:
            For each id, ``img`` and the name of each label with its paths relative to
            ``data_root``, of which the first that exists is taken.
        """
        raise NotImplementedError

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the split's samples.

        Returns:
            One dict a sample, as described in the class.

        Raises:
            FileNotFoundError: If any file is missing; names the number and the first few.
            ValueError: If the list of ids is empty.
        """
        ids = self.read_ids()
        folders: dict[str, set[str]] = {}
        samples, missing = [], []
        for img_id, files in zip(ids, self.sample_files(ids), strict=True):
            paths = {}
            for name, candidates in files.items():
                found = [c for c in candidates if self._exists(c, folders)]
                if found:
                    paths[name] = os.path.join(self.data_root, found[0])
                else:
                    missing.append(' or '.join(candidates))
            img_path = paths.pop('img', None)
            samples.append(
                {'img_path': img_path, 'img_id': img_id, 'label_paths': paths, 'tasks': self.tasks}
            )
        if missing:
            shown = ''.join(f'\n  {path}' for path in missing[:_NUM_SHOWN])
            more = f'\n  and {len(missing) - _NUM_SHOWN} more' * (len(missing) > _NUM_SHOWN)
            raise FileNotFoundError(
                f'{type(self).__name__}: {len(missing)} files of the {self.split} split are '
                f'missing under {self.data_root} (tasks: {", ".join(self.tasks)}). '
                f'Expected:{shown}{more}'
            )
        return samples

    def read_ids(self) -> list[str]:
        """Read the split's ids.

        Returns:
            The ids in the file's order.

        Raises:
            FileNotFoundError: If the list does not exist.
            ValueError: If it holds no id.
        """
        path = self.id_file()
        if not path.is_file():
            raise FileNotFoundError(
                f'{type(self).__name__}: no list of ids at {path}; '
                f'data_root {self.data_root} must be the folder of the unpacked dataset'
            )
        ids = [line.strip() for line in path.read_text().splitlines() if line.strip()]
        if not ids:
            raise ValueError(f'{path}: expected one id a line, found none')
        return ids

    def _exists(self, relative: str, folders: dict[str, set[str]]) -> bool:
        """Whether a file exists, by one listing of each folder instead of one query a file."""
        folder, _, name = relative.rpartition('/')
        if folder not in folders:
            path = Path(self.data_root, folder)
            folders[folder] = set(os.listdir(path)) if path.is_dir() else set()
        return name in folders[folder]
