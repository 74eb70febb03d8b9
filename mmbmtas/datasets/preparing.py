"""From an archive, or an unpacked folder, to a checked dataset with a training cache."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmbmtas.errors import InputError, MissingFileError

from .base import MultiTaskDataset
from .cache import default_cache
from .cache_writer import find_recipe, write_cache
from .checking import Report, check_dataset, report_places, write_report
from .finding import find_dataset_type, folder_name, known_types, list_known
from .unpacking import DEFAULT_LIMIT, unpack


class Prepared(NamedTuple):
    """What :func:`prepare_dataset` made.

    Attributes:
        root: Folder of the dataset.
        report: What the check found.
        report_file: The report as text.
        cache: Folder of the cache.
        counts: Number of samples ``written``, ``kept`` and ``replaced``; None where the check found
            problems and no cache was written.
    """

    root: Path
    report: Report
    report_file: Path
    cache: Path
    counts: Counter[str] | None


def prepare_dataset(
    source: str | Path,
    out: str | Path,
    jobs: int = 1,
    limit: int = DEFAULT_LIMIT,
    allow_missing_labels: bool = False,
    dataset_type: type[MultiTaskDataset] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Prepared:
    """Unpack a dataset if need be, check it, and write its cache.

    An archive is unpacked to ``out``, into a folder of the release's name, such as ``PASCAL_MT``.
    Beside it, or for a given folder in ``out`` too, come the folder's name with ``.check.json``,
    ``.check.txt`` and ``.cache``. Interrupted anywhere, the same call goes on: a dataset that is
    unpacked is not unpacked again, and samples that are cached stay.

    Args:
        source: Archive such as ``PASCAL_MT.tgz`` or ``NYUD_MT.tgz``, or an unpacked folder.
        out: Folder to write to; made if missing.
        jobs: Number of processes.
        limit: Most bytes that an archive may unpack to.
        allow_missing_labels: Whether images may lack labels of some tasks.
        dataset_type: Class that reads it; by default the one that the folders tell. For an archive
            its ``RELEASE`` must have ``marks``.
        options: Further arguments of the class.

    Raises:
        FileNotFoundError: If there is no such archive or folder.
        ValueError: If the archive is damaged or harmful, or holds no known dataset, or the class
            cannot be checked or cached.
    """
    source, out = Path(source), Path(out)
    if not source.exists():
        raise MissingFileError(f'no archive or folder {source}')
    types = None if dataset_type is None else [dataset_type]
    if dataset_type is not None and source.is_file():
        release = dataset_type.RELEASE
        if release is None or not release.marks:
            raise InputError(
                f'{source}: expected the unpacked folder of a {dataset_type.__name__}, whose '
                'RELEASE names no folders (marks) that tell it inside an archive'
            )
    if dataset_type is not None and not options:
        find_recipe(dataset_type)  # before any work
    out.mkdir(parents=True, exist_ok=True)
    root = source if source.is_dir() else _unpacked(source, out, limit, types)
    # Of "." and "data/.." the name, too.
    name = root.resolve().name
    dataset_type = dataset_type or find_dataset_type(root)
    _, report_file = report_places(out / f'{name}.check.json')
    allowed = {'allow_missing_labels': True} if allow_missing_labels else {}
    report = check_dataset(root, jobs, dataset_type, {**(options or {}), **allowed})
    write_report(report, out / f'{name}.check.json')
    cache = default_cache(out / name)
    if not report.passed:
        return Prepared(root, report, report_file, cache, None)
    counts = write_cache(dataset_type, root, cache, jobs, allow_missing_labels, options)
    return Prepared(root, report, report_file, cache, counts)


def _unpacked(
    archive: Path, out: Path, limit: int, types: Sequence[type[MultiTaskDataset]] | None
) -> Path:
    """The dataset's folder in ``out``, unpacked there unless it already is."""
    partial = out / f'.{archive.name}.partial'
    for name in map(folder_name, types or known_types().values()):
        if archive.name.startswith(name) and (out / name).is_dir():
            return out / name
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    unpack(archive, partial, limit)
    try:
        found, dataset_type = _find_root(partial, archive, types)
        root = out / folder_name(dataset_type)
        if root.exists():
            raise InputError(f'{root} exists: give it as the folder to prepare, or remove it')
        found.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def _find_root(
    folder: Path, archive: Path, types: Sequence[type[MultiTaskDataset]] | None
) -> tuple[Path, type[MultiTaskDataset]]:
    """The dataset's folder inside what was unpacked, at the top or below."""
    for candidate in (folder, *sorted(folder.glob('*/')), *sorted(folder.glob('*/*/'))):
        try:
            return candidate, find_dataset_type(candidate, types)
        except ValueError:
            continue
    raise InputError(f'{archive} holds no {list_known(" and no ")}')
