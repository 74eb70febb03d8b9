"""The base of the multi-task datasets: a split's ids, its tasks, the check that files exist."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmengine.dataset import BaseDataset, Compose
from mmengine.logging import print_log

from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.foreign import keep_labels_in_place
from mmbmtas.reading import read_id_list
from mmbmtas.registry import TRANSFORMS
from mmbmtas.structures.values import filled_in_from

from .cache import check_holds, default_cache, find_variant
from .listing import Listing
from .problems import ExtraCheck
from .release import SPLITS, Release, Split

_NUM_SHOWN = 5


class MultiTaskDataset(BaseDataset):
    """A folder of images with one label file per task.

    A sample's information is ``img_path``, ``img_id``, ``label_paths`` (label name to path; what
    the dataset's loading transform reads), and ``tasks``. All files are looked for when the dataset
    is opened, their contents are read with the sample. Subclasses name the tasks they have labels
    for in :attr:`TASKS` and implement :meth:`id_file` and :meth:`sample_files`. A task's label
    comes from the file of the task's name, unless :attr:`TASK_FILES` names others.
    :attr:`RELEASE` says what tools need to check, prepare and cache the data set; an instance may
    have one of its own.

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
        allow_missing_labels: Whether an image may lack the label files of some tasks, which it then
            does not count for. How many each task lacks is logged when the dataset is opened.
        cache: Folder that ``tools/dataset_converters/prepare_dataset.py`` wrote, which then stands
            for the first steps of the pipeline; samples are the same, to the bit. ``auto`` takes
            ``<data_root>.cache`` if it is there and serves this pipeline, None none.

    Raises:
        ValueError: If a split or task is unknown, the list of ids is empty, no image at all has a
            label of one of the tasks, or the named cache is incomplete.
        FileNotFoundError: If the list of ids or any file of the split is missing; with
            ``allow_missing_labels`` only images must be there.
    """

    TASKS: tuple[str, ...] = ()
    TASK_FILES: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    RELEASE: Release | None = None

    @filled_in_from('data_root', 'dataset.data_root')
    def __init__(
        self,
        data_root: str,
        split: Split = 'train',
        tasks: Sequence[str] | None = None,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        lazy_init: bool = False,
        metainfo: Mapping | None = None,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        max_refetch: int = 1000,
        allow_missing_labels: bool = False,
        cache: str | None = 'auto',
    ) -> None:
        if split not in SPLITS:
            raise InputError(f"split must be 'train' or 'val', got {split!r}")
        self.split = split
        self.tasks = list(self.TASKS if tasks is None else tasks)
        unknown = [task for task in self.tasks if task not in self.TASKS]
        if unknown or not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise InputError(
                f'tasks of {type(self).__name__} must be distinct names out of '
                f'{", ".join(self.TASKS)}; got {self.tasks}'
            )
        self.allow_missing_labels = allow_missing_labels
        self.cache = cache
        super().__init__(
            data_root=str(data_root),
            data_prefix={},
            metainfo=metainfo,
            pipeline=[
                TRANSFORMS.build(t) if isinstance(t, Mapping) else keep_labels_in_place(t)
                for t in pipeline
            ],
            test_mode=test_mode,
            lazy_init=lazy_init,
            indices=indices,
            serialize_data=serialize_data,
            max_refetch=max_refetch,
        )
        self._metainfo['tasks'] = tuple(self.tasks)

    def full_init(self) -> None:
        """List the samples, and replace the pipeline's first steps with the cache."""
        if self._fully_initialized:
            return
        super().full_init()
        if self.cache is None:
            return
        folder = default_cache(self.data_root) if self.cache == 'auto' else Path(self.cache)
        if self.cache == 'auto' and not folder.is_dir():
            return
        try:
            self._use_cache(folder)
        except ValueError as error:
            if self.cache != 'auto':
                raise
            self._log(f'reads the files of {self.data_root} itself: {error}', logging.WARNING)

    def _use_cache(self, folder: Path) -> None:
        """Replace the steps that the cache stands for."""
        transforms: list[Callable] = self.pipeline.transforms
        cached = find_variant(folder, transforms, self.RELEASE.derived if self.RELEASE else {})
        if cached is None:
            if transforms:
                self._log(f'{folder} holds no samples for the first steps of {transforms}')
            return
        check_holds(cached.folder, [self.get_data_info(i)['img_id'] for i in range(len(self))])
        self.pipeline: Compose = Compose([cached, *transforms[len(cached.steps) :]])
        self._log(f'takes the {self.split} split from the cache {cached.folder}')

    def _log(self, message: str, level: int = logging.INFO) -> None:
        print_log(f'{type(self).__name__} {message}', 'current', level)

    def id_file(self) -> Path:
        """The text file that lists the split's ids, one per line."""
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

    def describe_packaging(self, ids: list[str]) -> str:
        """Name the packaging of the data set at ``data_root``, for reports.

        Args:
            ids: The split's ids, at least one.
        """
        return (self.RELEASE and self.RELEASE.name) or type(self).__name__

    def extra_checks(self, ids: list[str]) -> Mapping[str, Mapping[str, ExtraCheck]]:
        """Further checks of an image's files, in addition to those of :attr:`RELEASE`.

        Args:
            ids: The split's ids.

        Returns:
            For some ids, by label, a function of the file's path that lists problems. It must be
            picklable.
        """
        return {}

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the split's samples.

        Returns:
            One dict a sample, as described in the class.

        Raises:
            FileNotFoundError: If a file is missing that must be there; names the number and the
                first few.
            ValueError: If the list of ids is empty, or a task has no label at all.
        """
        ids = self.read_ids()
        listing = Listing(self.data_root)
        samples = []
        missing: dict[str, list[str]] = {}
        for img_id, files in zip(ids, self.sample_files(ids), strict=True):
            paths = {}
            for name, candidates in files.items():
                found = [c for c in candidates if c in listing]
                if found:
                    paths[name] = os.path.join(self.data_root, found[0])
                else:
                    missing.setdefault(name, []).append(' or '.join(candidates))
            img_path = paths.pop('img', None)
            samples.append(
                {'img_path': img_path, 'img_id': img_id, 'label_paths': paths, 'tasks': self.tasks}
            )
        needed = [n for n in missing if n == 'img' or not self.allow_missing_labels]
        self._refuse_missing(
            [path for name in needed for path in missing[name]], labels_only='img' not in missing
        )
        if missing:
            self._report_unlabelled(samples)
        return samples

    def _refuse_missing(self, paths: list[str], labels_only: bool) -> None:
        """Raise where files are missing that must be there."""
        if paths:
            shown = ''.join(f'\n  {path}' for path in paths[:_NUM_SHOWN])
            more = f'\n  and {len(paths) - _NUM_SHOWN} more' * (len(paths) > _NUM_SHOWN)
            hint = (
                '\nTo train on images without these labels too, set allow_missing_labels=True in '
                'the dataset'
            )
            raise MissingFileError(
                f'{type(self).__name__}: {len(paths)} files of the {self.split} split are '
                f'missing under {self.data_root} (tasks: {", ".join(self.tasks)}). '
                f'Expected:{shown}{more}{hint * labels_only}'
            )

    def _report_unlabelled(self, samples: list[dict[str, Any]]) -> None:
        """Log how many images lack a label of each task, or raise where all do."""
        counts = {
            task: sum(
                not set(self.TASK_FILES.get(task, (task,))) <= sample['label_paths'].keys()
                for sample in samples
            )
            for task in self.tasks
        }
        empty = [task for task, count in counts.items() if count == len(samples)]
        if empty:
            raise InputError(
                f'{type(self).__name__}: no image of the {self.split} split under '
                f'{self.data_root} has a label of {", ".join(empty)}: check the '
                f'names of its folder and files, or leave it out of tasks={self.tasks}'
            )
        shown = ', '.join(f'{task} {count}' for task, count in counts.items() if count)
        print_log(
            f'{type(self).__name__}: of {len(samples)} images of the {self.split} split under '
            f'{self.data_root} some have no label: {shown}',
            logger='current',
        )

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
            raise MissingFileError(
                f'{type(self).__name__}: no list of ids at {path}; '
                f'data_root {self.data_root} must be the folder of the unpacked dataset'
            )
        return read_id_list(path)
