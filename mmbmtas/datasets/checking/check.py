"""Check a whole dataset: its packaging, its lists of ids, and every file."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from mmcv.transforms import BaseTransform

from mmbmtas.datasets.base import MultiTaskDataset
from mmbmtas.datasets.nyudv2 import NYUDv2MT
from mmbmtas.datasets.parallel import run_parallel
from mmbmtas.datasets.pascal_context import PascalContextMT
from mmbmtas.errors import InputError
from mmbmtas.registry import DATASETS, TRANSFORMS

from .report import FolderCount, Problem, Remark, Report
from .sample import SampleFiles, check_sample

SPLITS: tuple[Literal['train', 'val'], ...] = ('train', 'val')

# Folders of which either tells a dataset, and the number of images in the public release.
_MARKS = {PascalContextMT: ('ImageSets/Context', 'JPEGImages'), NYUDv2MT: ('gt_sets',)}
_RELEASE_SIZES: dict[type[MultiTaskDataset], dict[str, int]] = {
    PascalContextMT: {'train': 4998, 'val': 5105},
    NYUDv2MT: {'train': 795, 'val': 654},
}
_NAMES: dict[type[MultiTaskDataset], str] = {PascalContextMT: 'PASCAL_MT', NYUDv2MT: 'NYUD_MT'}


def find_dataset_type(root: str | Path) -> type[MultiTaskDataset]:
    """Tell by its folders which dataset lies somewhere.

    Args:
        root: Folder of an unpacked dataset.

    Raises:
        ValueError: If it is neither ``PASCAL_MT`` nor ``NYUD_MT``.
    """
    for dataset_type, marks in _MARKS.items():
        if any(Path(root, mark).is_dir() for mark in marks):
            return dataset_type
    inside = [name for name in _NAMES.values() if Path(root, name).is_dir()]
    hint = f'; did you mean {Path(root, inside[0])}?' if inside else ''
    raise InputError(
        f'{root} is no PASCAL_MT folder (with ImageSets/Context) and no NYUD_MT folder '
        f'(with gt_sets){hint}'
    )


def release_name(dataset_type: type[MultiTaskDataset]) -> str:
    """Name of a dataset's folder in its release, or of its class where there is none."""
    return _NAMES.get(dataset_type, dataset_type.__name__)


def find_dataset_class(name: str) -> type[MultiTaskDataset]:
    """Find a data set's class by its registered name, or as ``package.module.Class``.

    Raises:
        InputError: There is no such class, or it is no :class:`MultiTaskDataset`.
    """
    found = DATASETS.get(name)
    if not (isinstance(found, type) and issubclass(found, MultiTaskDataset)):
        raise InputError(
            f'{name} is no data set that can be checked: expected the registered name, or '
            'package.module.Class, of a class derived from mmbmtas.datasets.MultiTaskDataset'
        )
    return found


def _label_loader(dataset_type: type[MultiTaskDataset]) -> BaseTransform:
    """Build the transform that reads a data set's labels."""
    if dataset_type.LABEL_LOADER is None:
        raise InputError(
            f'{dataset_type.__name__} cannot be checked: it must name the transform that reads its '
            "labels in LABEL_LOADER, for example LABEL_LOADER = 'LoadPascalContextLabels'"
        )
    return TRANSFORMS.build({'type': dataset_type.LABEL_LOADER})


def check_dataset(
    root: str | Path, jobs: int = 1, dataset_type: type[MultiTaskDataset] | None = None
) -> Report:
    """Open every file of a dataset that its splits list.

    Ctrl-C ends the check; the report then tells what was found until there.

    Args:
        root: Folder of the dataset.
        jobs: Number of processes.
        dataset_type: Class that reads it; by default ``PascalContextMT`` or ``NYUDv2MT``, as the
            folders tell.

    Returns:
        What was found.

    Raises:
        ValueError: If the folder is of neither dataset, or the class does not say how its labels
            are read.
    """
    root = str(root)
    dataset_type = dataset_type or find_dataset_type(root)
    loader = _label_loader(dataset_type)
    report = Report(root, dataset_type.__name__, release_name(dataset_type))
    samples = _list_samples(dataset_type, report)
    remarks: dict[Remark, list[str]] = {}
    work = partial(check_sample, loader)
    try:
        for checked in run_parallel(work, samples, jobs, 'checking images'):
            report.opened += checked.opened
            report.problems += checked.problems
            for remark, path in checked.remarks:
                remarks.setdefault(remark, []).append(path)
    except KeyboardInterrupt:
        report.interrupted = True
    report.notes += _notes(remarks)
    report.problems.sort(key=lambda problem: (problem.kind, problem.path))
    return report


def _notes(remarks: Mapping[Remark, list[str]]) -> Iterator[str]:
    """Tell what is worth knowing of the files together."""
    if turned := remarks.get('turned'):
        yield (
            f'{len(turned)} images are turned as their EXIF data say, {min(turned)} for one: their '
            'labels must fit what viewers show'
        )
    ones, full = remarks.get('mask of 0 and 1'), remarks.get('mask of 0 to 255')
    if ones and full:
        yield (
            f'{len(ones)} masks hold 0 and 1, {min(ones)} for one, and {len(full)} hold 0 to 255, '
            f'{min(full)} for one: 1 is foreground in the former only'
        )


def _list_samples(dataset_type: type[MultiTaskDataset], report: Report) -> list[SampleFiles]:
    """The files of each id, with what is wrong with the lists written into the report."""
    files: dict[str, dict[str, list[str]]] = {}
    objects: dict[str, tuple[list[int], str]] = {}
    for split in SPLITS:
        dataset = dataset_type(report.root, split, lazy_init=True, cache=None)
        ids = list(_split_ids(dataset, report))
        report.splits[split] = len(ids)
        in_release = _RELEASE_SIZES.get(dataset_type, {}).get(split)
        if in_release is not None and len(ids) != in_release:
            report.notes.append(f'{split} lists {len(ids)} ids, the public release {in_release}')
        both = files.keys() & set(ids)
        if both == files.keys() == set(ids) and both:
            report.notes.append(f'{len(both)} ids are in both splits, {min(both)} for one')
        elif both:
            message = (
                f'{len(both)} ids are in the other split, too, {min(both)} for one: what was '
                'trained on must not score'
            )
            report.problems.append(Problem('split', str(dataset.id_file()), message))
        if isinstance(dataset, PascalContextMT):
            listed = dataset.listed_objects() or {}
            objects |= {i: (listed[i], str(dataset.objects_file())) for i in ids if i in listed}
        if ids:
            if isinstance(dataset, NYUDv2MT):
                packaging, names = dataset.packaging(ids[0])
                report.packaging = f'NYUD_MT packaging {packaging} ({names})'
            files.update(zip(ids, dataset.sample_files(ids), strict=True))
    return _find_files(report, files, objects)


def _split_ids(dataset: MultiTaskDataset, report: Report) -> Iterator[str]:
    """The distinct ids of a split that can be names of files."""
    path = str(dataset.id_file())
    try:
        counts = Counter(dataset.read_ids())
    except FileNotFoundError:
        report.problems.append(Problem('missing', path, 'expected a list of ids'))
        return
    except ValueError as error:
        report.problems.append(Problem('split', path, str(error).removeprefix(f'{path}: ')))
        return
    for img_id, count in counts.items():
        if count > 1:
            report.problems.append(Problem('split', path, f'lists {img_id!r} {count} times'))
        if '/' in img_id or '\\' in img_id or '\0' in img_id:
            report.problems.append(Problem('split', path, f'{img_id!r} cannot name a file'))
        else:
            yield img_id


def _find_files(
    report: Report,
    files: dict[str, dict[str, list[str]]],
    objects: dict[str, tuple[list[int], str]],
) -> list[SampleFiles]:
    """The files that there are, counted by folder; the others become problems."""
    listings: dict[str, set[str]] = {}
    found_in: Counter[str] = Counter()
    samples = []
    for img_id, candidates in files.items():
        paths: dict[str, list[str]] = {}
        for name, places in candidates.items():
            for place in places:
                folder, _, file = place.rpartition('/')
                if folder not in listings:
                    path = Path(report.root, folder)
                    listings[folder] = set(os.listdir(path)) if path.is_dir() else set()
                if file in listings[folder]:
                    found_in[folder] += 1
                    paths.setdefault(name, []).append(os.path.join(report.root, place))
            if name not in paths:
                what = 'image' if name == 'img' else name
                message = f'expected the {what} of {img_id!r}, which a split lists'
                place = ' or '.join(os.path.join(report.root, place) for place in places)
                report.problems.append(Problem('missing', place, message))
        samples.append(SampleFiles(img_id, paths, *objects.get(img_id, ())))
    for folder, listing in listings.items():
        listed = found_in[folder]
        report.folders[folder] = FolderCount(len(listing), listed, len(files) - listed)
    return samples
