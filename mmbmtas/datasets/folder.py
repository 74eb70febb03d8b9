"""A user's own folder of images, with labels of any tasks."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.reading import read_id_list
from mmbmtas.registry import DATASETS
from mmbmtas.structures.values import filled_in_from, require_count, require_share

from .base import MultiTaskDataset
from .folder_files import IMAGE_ENDINGS, FolderSample, Pattern, draw_split, match_files, read_list
from .folder_labels import ClassesLabel, FolderLabel, ImageLabel, ValueLabel, check_metres
from .folder_settings import build_labels
from .release import CachedSteps, Release
from .transforms import LoadFolderLabels


@DATASETS.register_module()
class FolderMT(MultiTaskDataset):
    """A folder of images and of labels of any tasks, without code.

    Files belong together by their names, or by a list (CSV or JSON) that has a column ``image`` and
    one for each task. A task's labels are of one ``kind``:

    ===========  ===============================================================================
    ``classes``  a class for each pixel: images of indices or palettes, arrays, or coloured masks
                 with a table of colours; :class:`ClassesLabel`
    ``binary``   foreground or not: masks of 0 and 1, or 0 and 255; :class:`BinaryLabel`
    ``value``    a number for each pixel: arrays, or images of 8, 16 or 32 bits with a scale and an
                 offset; :class:`ValueLabel`
    ``normals``  a unit vector for each pixel, arrays or colours; :class:`NormalsLabel`
    ===========  ===============================================================================

    Args:
        data_root: The folder.
        labels: For each task its ``kind`` and the settings of this kind.
        images: Pattern of the images' names below the folder, with ``{stem}`` for an image's own
            name, or a folder of images; default the folder ``images``.
        files: A list of images and labels in the place of patterns, below the folder.
        splits: File of ids of each split, ``dict(train='train.txt', val='val.txt')``. An id is a
            stem or a file's name. By default the list's column ``split``, else a drawn split.
        val_share: Share of the images in a drawn validation split, 0.2 by default.
        split_seed: Seed of a drawn split, 0 by default.
        cached_scales: What ``mmbmtas prepare-dataset`` caches beside samples at full size: training
            samples that ``ResizeSample`` has reduced by these factors.
        split: See :class:`MultiTaskDataset`, as all others.
        tasks: See :class:`MultiTaskDataset`.
        metainfo: See :class:`MultiTaskDataset`.
        pipeline: See :class:`MultiTaskDataset`.
        **options: See :class:`MultiTaskDataset`.

    Images without a label of any of the tasks are left out.

    Raises:
        InputError: A setting is wrong, a task has no label at all, or files are ambiguous.
        MissingFileError: No image is found, or a file is missing.

    Example:
        .. code-block:: python

            dataset = dict(
                type='FolderMT',
                data_root='photos',
                labels=dict(
                    masks=dict(kind='classes', files='masks/{stem}_m.png', classes='classes.txt'),
                    depth=dict(kind='value', scale=0.001, invalid=0, unit='m', shrinks=True),
                ),
                allow_missing_labels=True,
                pipeline=[
                    dict(type='LoadSampleImage'),
                    dict(type='LoadFolderLabels'),
                    dict(type='PackMultiTaskInputs'),
                ],
            )
    """

    METAINFO = {'dataset_type': 'FolderMT'}  # noqa: RUF012

    @filled_in_from('data_root', 'dataset.data_root')
    def __init__(
        self,
        data_root: str,
        labels: Mapping[str, Mapping[str, Any]],
        images: str | None = None,
        files: str | None = None,
        splits: Mapping[str, str] | None = None,
        val_share: float | None = None,
        split_seed: int | None = None,
        cached_scales: Sequence[float] = (),
        split: Literal['train', 'val'] = 'train',
        tasks: Sequence[str] | None = None,
        metainfo: Mapping[str, Any] | None = None,
        pipeline: Sequence[dict | Callable] = (),
        **options: Any,
    ) -> None:
        self.labels = build_labels(labels, data_root)
        self.TASKS = (*self.labels,)
        if files is not None and images is not None:
            raise InputError(f'images {images!r} of FolderMT: the list {files} names the images')
        self.images, self.files = images or 'images', files
        drawing = {'val_share': val_share, 'split_seed': split_seed}
        for name, value in drawing.items() if splits is not None else ():
            if value is not None:
                raise InputError(f'{name} {value!r} of FolderMT: splits names the images')
        if splits is not None and (
            not isinstance(splits, Mapping) or not {*splits} <= {'train', 'val'}
        ):
            raise InputError(
                f"splits {splits!r} of FolderMT: expected dict(train='train.txt', val='val.txt')"
            )
        self.splits = splits
        share = 0.2 if val_share is None else val_share
        self.val_share = require_share('val_share of FolderMT', share)
        self.split_seed = require_count('split_seed of FolderMT', split_seed or 0, least=0)
        self.RELEASE = self._describe_files(cached_scales)
        self._samples: dict[str, FolderSample] | None = None
        super().__init__(
            data_root=data_root,
            split=split,
            tasks=tasks,
            metainfo=_described(self.labels, metainfo or {}),
            pipeline=pipeline,
            **options,
        )

    def full_init(self) -> None:
        """Tell the pipeline how to read labels, then list the samples and look for a cache."""
        for transform in self.pipeline.transforms:
            if isinstance(transform, LoadFolderLabels) and transform.labels is None:
                transform.labels = self.labels
        super().full_init()

    def _describe_files(self, cached_scales: Sequence[float]) -> Release:
        """Describe the files for the check and the cache."""
        checks = {
            task: partial(check_metres, label)
            for task, label in self.labels.items()
            if isinstance(label, ValueLabel) and label.shrinks and label.unit == 'm'
        }
        reduced = {
            f'scale_{scale:g}': CachedSteps(
                ('train',), ({'type': 'ResizeSample', 'scale_factor': scale},)
            )
            for scale in cached_scales
        }
        return Release(
            label_loader={'type': 'LoadFolderLabels', 'labels': self.labels},
            checks=checks,
            masks=tuple(t for t, label in self.labels.items() if label.KIND == 'binary'),
            cached={'full': CachedSteps(), **reduced},
        )

    def id_file(self) -> Path:
        """The file or folder that defines which images are in the split."""
        place = (self.splits or {}).get(self.split) or self.files
        return Path(self.data_root, place or '')

    def read_ids(self) -> list[str]:
        """List the ids of the split's images, without images that have no label.

        Raises:
            InputError: No image has a label of the tasks, or the split is empty.
            MissingFileError: A list names images that there are not.
        """
        samples = self._all_samples()
        labelled = {
            img_id
            for img_id, sample in samples.items()
            if not sample.labels.keys().isdisjoint(self.tasks)
        }
        if not labelled:
            raise InputError(
                f'FolderMT: no image of {self.data_root} has a label of {", ".join(self.tasks)}; '
                f'expected {self._expected("STEM")}'
            )
        ids = [img_id for img_id in self._split_ids(samples) if img_id in labelled]
        left_out = len(samples) - len(labelled)
        if left_out:
            self._log(f'leaves out {left_out} images of {self.data_root} that have no label')
        if not ids:
            raise InputError(f'FolderMT: the {self.split} split of {self.data_root} has no image')
        return ids

    def _split_ids(self, samples: Mapping[str, FolderSample]) -> list[str]:
        """The ids of the split as files say, else as drawn."""
        if self.splits is not None:
            if self.split not in self.splits:
                raise InputError(f'FolderMT: splits names no file of the split {self.split!r}')
            return self._listed_ids(samples)
        if any(sample.split is not None for sample in samples.values()):
            return [i for i, sample in samples.items() if sample.split == self.split]
        # Of all that have any label, whatever the tasks: no image changes sides with them.
        present = {i: (*sample.labels,) for i, sample in samples.items() if sample.labels}
        drawn = draw_split(present, self.val_share, self.split_seed)
        return [i for i in present if (i in drawn) == (self.split == 'val')]

    def _listed_ids(self, samples: Mapping[str, FolderSample]) -> list[str]:
        """The ids of a file, which may have stems or the names of files."""
        path = self.id_file()
        names = {sample.stem: i for i, sample in samples.items()}
        names |= {sample.image: i for i, sample in samples.items()}
        names |= {os.path.basename(s.image): i for i, s in samples.items() if '/' not in s.stem}
        listed = read_id_list(path)
        lost = [name for name in listed if name not in names]
        if lost:
            raise MissingFileError(
                f'{path}: {len(lost)} of its {len(listed)} images are not among those of '
                f'{self.data_root}, such as {lost[0]!r}; expected names such as '
                f'{next(iter(samples.values())).stem!r}'
            )
        return [names[name] for name in listed]

    def sample_files(self, ids: list[str]) -> list[dict[str, list[str]]]:
        """The image and the labels of each id; missing labels with the names they would have."""
        samples = self._all_samples()
        return [
            {
                'img': [samples[i].image],
                **{
                    task: [samples[i].labels.get(task) or self._expected(samples[i].stem, task)]
                    for task in self.tasks
                },
            }
            for i in ids
        ]

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the split's samples, with the kinds of their tasks."""
        samples = super().load_data_list()
        kinds = {task: label.task_kind for task, label in self.labels.items()}
        for sample in samples:
            sample['task_kinds'] = kinds
        return samples

    @cached_property
    def _patterns(self) -> dict[str, Pattern]:
        """Patterns of the labels' files, of all tasks: they also say which files are no images."""
        return {task: Pattern(label.files, label.ENDINGS) for task, label in self.labels.items()}

    def _report_unlabelled(self, samples: list[dict[str, Any]]) -> None:
        """Log how many labels are missing; those that a list names must be there."""
        if self.files is not None:
            lost = [
                listed.labels[task]
                for sample in samples
                for listed in [self._all_samples()[sample['img_id']]]
                for task in self.tasks
                if task in listed.labels and task not in sample['label_paths']
            ]
            self._refuse_missing(lost, labels_only=False)
        super()._report_unlabelled(samples)

    def _all_samples(self) -> dict[str, FolderSample]:
        """Images and labels of all splits, by id; found once."""
        if self._samples is None:
            if self.files is not None:
                found = read_list(Path(self.data_root, self.files), self.labels)
            else:
                images = Pattern(self.images, IMAGE_ENDINGS)
                found = match_files(self.data_root, images, self._patterns)
            self._samples = {sample.img_id: sample for sample in found}
        return self._samples

    def _expected(self, stem: str, task: str | None = None) -> str:
        """How the files of a task, or of all, should be called."""
        if self.files is not None:
            return f'{os.path.basename(self.files)}, the row of {stem.replace("/", "__")}'
        names = {name: self._patterns[name].example(stem) for name in self.tasks}
        return names[task] if task else ', '.join(names.values())


def _described(labels: Mapping[str, FolderLabel], stated: Mapping[str, Any]) -> dict[str, Any]:
    """The metainfo of the tasks: names and colours of classes, units, kinds, and what is stated.

    Raises:
        InputError: The palette names another task, or has not one colour for each class.
    """
    described = _describe(labels)
    for task, colours in (stated.get('palette') or {}).items():
        if task not in described['palette']:
            raise InputError(
                f'metainfo.palette of FolderMT names {task}: expected tasks with classes, '
                f'{", ".join(described["palette"]) or "of which there are none"}'
            )
        if (number := len(described['classes'][task])) != len(colours):
            raise InputError(
                f'metainfo.palette.{task} of FolderMT: expected {number} colours, one for each '
                f'class, found {len(colours)}'
            )
    for key, value in stated.items():
        by_task = isinstance(value, Mapping) and key in described
        described[key] = {**described[key], **value} if by_task else value
    return described


def _describe(labels: Mapping[str, FolderLabel]) -> dict[str, Any]:
    """Describe the tasks by their labels."""
    classes = {t: label for t, label in labels.items() if isinstance(label, ClassesLabel)}
    named = {
        t: label for t, label in labels.items() if isinstance(label, ClassesLabel | ImageLabel)
    }
    return {
        'classes': {task: [*label.classes] for task, label in named.items()},
        'palette': {task: label.palette for task, label in classes.items()},
        'units': {t: label.unit for t, label in labels.items() if isinstance(label, ValueLabel)},
        'task_kinds': {task: label.task_kind for task, label in labels.items()},
    }
