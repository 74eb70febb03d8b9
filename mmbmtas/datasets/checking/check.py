"""Check a whole dataset: its packaging, its lists of ids, and every file."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmbmtas.datasets.base import MultiTaskDataset
from mmbmtas.datasets.finding import find_dataset_type, require_release
from mmbmtas.datasets.parallel import run_parallel
from mmbmtas.datasets.problems import ExtraCheck, Problem, Remark
from mmbmtas.datasets.release import SPLITS

from .report import FolderCount, Report
from .sample import SampleFiles, check_sample


def check_dataset(
    root: str | Path,
    jobs: int = 1,
    dataset_type: type[MultiTaskDataset] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Report:
    """Open every file of a dataset that its splits list.

    Ctrl-C ends the check; the report then tells what was found until there.

    Args:
        root: Folder of the dataset.
        jobs: Number of processes.
        dataset_type: Class that reads it; by default the one that the folders tell.
        options: Further arguments of the class.

    Returns:
        What was found.

    Raises:
        ValueError: If the folder is of no known dataset, or the class does not say how its labels
            are read.
    """
    root = str(root)
    dataset_type = dataset_type or find_dataset_type(root)
    datasets = [
        dataset_type(root, split=split, lazy_init=True, cache=None, **(options or {}))
        for split in SPLITS
    ]
    release = require_release(datasets[0])
    report = Report(root, dataset_type.__name__, release.name or dataset_type.__name__)
    samples = _list_samples(datasets, report)
    remarks: dict[Remark, list[str]] = {}
    work = partial(check_sample, release)
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
            f'{len(turned)} images are rotated by their EXIF data, such as {min(turned)}: their '
            'labels must fit the image as viewers show it'
        )
    ones, full = remarks.get('mask of 0 and 1'), remarks.get('mask of 0 to 255')
    if ones and full:
        yield (
            f'{len(ones)} masks hold 0 and 1, such as {min(ones)}, and {len(full)} hold 0 to 255, '
            f'such as {min(full)}: 1 is foreground only in the former'
        )


def _list_samples(datasets: Sequence[MultiTaskDataset], report: Report) -> list[SampleFiles]:
    """The files of each id, with what is wrong with the lists written into the report."""
    files: dict[str, dict[str, list[str]]] = {}
    checks: dict[str, Mapping[str, ExtraCheck]] = {}
    for dataset in datasets:
        split = dataset.split
        ids = list(_split_ids(dataset, report))
        report.splits[split] = len(ids)
        published = require_release(dataset).sizes.get(split)
        if published is not None and len(ids) != published:
            report.notes.append(f'{split} lists {len(ids)} ids, the public release {published}')
        both = files.keys() & set(ids)
        if both == files.keys() == set(ids) and both:
            report.notes.append(f'{len(both)} ids are in both splits, such as {min(both)}')
        elif both:
            message = (
                f'{len(both)} ids are in the other split, too, such as {min(both)}: images '
                'for training must not be used for scores'
            )
            report.problems.append(Problem('split', str(dataset.id_file()), message))
        if ids:
            report.packaging = dataset.describe_packaging(ids)
            checks.update(dataset.extra_checks(ids))
            files.update(zip(ids, dataset.sample_files(ids), strict=True))
    return _find_files(report, files, checks, datasets[0].allow_missing_labels)


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
    checks: Mapping[str, Mapping[str, ExtraCheck]],
    allow_missing_labels: bool,
) -> list[SampleFiles]:
    """The files that there are, counted by folder; the others become problems, or are noted."""
    lacking: Counter[str] = Counter()
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
            if name not in paths and name != 'img' and allow_missing_labels:
                lacking[name] += 1
            elif name not in paths:
                what = 'image' if name == 'img' else name
                message = f'expected the {what} of {img_id!r}, which a split lists'
                place = ' or '.join(os.path.join(report.root, place) for place in places)
                report.problems.append(Problem('missing', place, message))
        samples.append(SampleFiles(img_id, paths, checks.get(img_id, {})))
    report.notes += [f'{count} images have no label of {name}' for name, count in lacking.items()]
    for folder, listing in listings.items():
        listed = found_in[folder]
        report.folders[folder] = FolderCount(len(listing), listed, len(files) - listed)
    return samples
