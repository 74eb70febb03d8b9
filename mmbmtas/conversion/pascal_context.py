"""From the public archives of PASCAL VOC, its parts and its contexts to what PascalContextMT reads.

Human parts, classes and boundaries are annotations that anyone may download. The surface normals
and the saliency of the multi-task release are predictions of its authors' networks, so they cannot
be made from these files.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mmbmtas.datasets.image_files import save_palette_png
from mmbmtas.datasets.parallel import run_parallel
from mmbmtas.datasets.pascal_context import VOC_CLASSES
from mmbmtas.datasets.pascal_labels import (
    NUM_LABEL_MAP_IDS,
    check_object_classes,
    read_human_parts,
    read_label_map,
)
from mmbmtas.datasets.release import SPLITS, Split
from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.reading import RangeError, SizeError, read_id_list, read_image, read_index_image
from mmbmtas.writing import written_beside

from .claims import claim, write_ids

UNLABELLED = 255
# What PASCAL-Context's list of 459 labels calls the classes of VOC; its 397 is "table".
_LABEL_MAP_IDS = (
    *(2, 23, 25, 31, 34, 45, 59, 65, 72, 98),
    *(397, 113, 207, 258, 284, 308, 347, 368, 416, 427),
)
VOC_OF_LABEL_MAP = np.zeros(NUM_LABEL_MAP_IDS, np.uint8)
"""Class of VOC of each ``LabelMap`` value: other things are background, 0 is unlabelled."""
VOC_OF_LABEL_MAP[[*_LABEL_MAP_IDS]] = range(1, len(VOC_CLASSES))
VOC_OF_LABEL_MAP[0] = UNLABELLED

_IMAGES, _PARTS = 'JPEGImages', 'human_parts'
_VOC_MASKS, _CONTEXT_MASKS = 'semseg/VOC12', 'semseg/pascal-context'
_LABEL_MAPS, _LISTS = 'pascal-context/trainval', 'ImageSets/Context'
_VERSION = 1  # counted up whenever the same files would be converted otherwise


@dataclass(frozen=True)
class _Sources:
    """The folders of the published files."""

    images: Path
    parts: Path
    masks: Path
    label_maps: Path | None

    def files(self, img_id: str) -> dict[str, Path]:
        """The files of an image, by the folder that they go to; VOC's mask where there is one."""
        found = {
            _IMAGES: self.images / f'{img_id}.jpg',
            _PARTS: self.parts / f'{img_id}.mat',
        }
        if self.label_maps is not None:
            found[_LABEL_MAPS] = self.label_maps / f'{img_id}.mat'
        if (mask := self.masks / f'{img_id}.png').is_file():
            found[_VOC_MASKS] = mask
        return found


def convert_pascal_context(
    voc: str | Path,
    parts: str | Path,
    out: str | Path,
    context: str | Path | None = None,
    masks: str | Path | None = None,
    jobs: int = 1,
) -> Counter[str]:
    """Write a data set in the layout of ``PASCAL_MT`` (docs/data.md tells how labels are made).

    Each file appears whole. The lists of ids come last, so an unfinished folder is no data set.
    The same call goes on where it was interrupted, and writes what is missing.

    Args:
        voc: Folder of PASCAL VOC 2010: ``VOCdevkit/VOC2010``, or one above it. Its lists of
            training and validation images are those of PASCAL-Context.
        parts: Folder of PASCAL-Part: ``Annotations_Part``, or one above it.
        out: Folder to write to; made if missing.
        context: Folder of PASCAL-Context's 459 classes: ``trainval`` with ``LabelMap`` files, or
            one above it. Without it there are no boundaries, and classes only where VOC has masks.
        masks: Folder ``SegmentationClass`` of VOC, by default that of ``voc``.
        jobs: Processes.

    Returns:
        Number of samples ``written`` and ``kept``.

    Raises:
        FileNotFoundError: A folder or file is missing.
        InputError: A file is damaged, or does not fit its image.
        OccupiedError: ``out`` holds something else, or was converted from other files.
    """
    out = Path(out)
    root = _find_voc(Path(voc))
    ids = _read_ids(root / 'ImageSets' / 'Main')
    first = ids['train'][0]
    sources = _Sources(
        images=root / 'JPEGImages',
        parts=_find_folder(Path(parts), 'Annotations_Part', f'{first}.mat', 'PASCAL-Part'),
        masks=root / 'SegmentationClass' if masks is None else _require_folder(Path(masks)),
        label_maps=None
        if context is None
        else _find_folder(Path(context), 'trainval', f'{first}.mat', 'PASCAL-Context'),
    )
    files = {i: sources.files(i) for split in SPLITS for i in ids[split]}
    folders = [_IMAGES, _PARTS, _VOC_MASKS, _LISTS]
    folders += [_LABEL_MAPS, _CONTEXT_MASKS] if sources.label_maps else []
    claim(out, folders, {'files': _digest(files, root), 'version': _VERSION})
    missing = [i for i in files if not all(p.is_file() for p in _places(out, i, files[i]).values())]
    work = partial(_convert, out)
    for _ in run_parallel(work, [(i, files[i]) for i in missing], jobs, 'converting'):
        pass
    for split in SPLITS:
        write_ids(out / _LISTS / f'{split}.txt', ids[split])
    return Counter(written=len(missing), kept=len(files) - len(missing))


def _find_voc(voc: Path) -> Path:
    """Find the folder of VOC 2010 at or below a path."""
    for folder in (voc, voc / 'VOC2010', voc / 'VOCdevkit' / 'VOC2010'):
        if (folder / 'ImageSets' / 'Main').is_dir() and (folder / 'JPEGImages').is_dir():
            return folder
    raise MissingFileError(
        f'{voc}: expected VOCdevkit/VOC2010 with ImageSets/Main and JPEGImages, unpacked from '
        'VOCtrainval_03-May-2010.tar, found no such folder'
    )


def _find_folder(root: Path, name: str, file: str, what: str) -> Path:
    """Find the folder of an archive's annotations: it holds those of the first image."""
    candidates = (root, root / name, *sorted(root.glob(f'*/{name}')))
    for folder in candidates:
        if (folder / file).is_file():
            return folder
    raise MissingFileError(
        f'{root}: expected the folder {name} of {what}, with {file}, found no such folder'
    )


def _require_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise MissingFileError(f'{folder}: expected a folder SegmentationClass of PASCAL VOC')
    return folder


def _read_ids(lists: Path) -> dict[Split, list[str]]:
    """Read the images of each split.

    Raises:
        InputError: An image is listed twice, or its id cannot name a file.
    """
    ids = {split: read_id_list(lists / f'{split}.txt') for split in SPLITS}
    for img_id, count in Counter(i for split in SPLITS for i in ids[split]).items():
        if count > 1:
            raise InputError(f'{lists}: {img_id!r} is listed {count} times in train.txt, val.txt')
        if {'/', '\\', ' ', '\t'} & {*img_id}:
            raise InputError(
                f'{lists}: expected an id such as 2008_000002 in each line of train.txt and '
                f'val.txt, found {img_id!r}'
            )
    return ids


def _digest(files: Mapping[str, Mapping[str, Path]], voc: Path) -> str:
    """Identify the published files by their names and sizes.

    Raises:
        MissingFileError: Some are missing.
    """
    found = hashlib.sha256()
    missing: dict[str, list[Path]] = {}
    for img_id, sources in files.items():
        for folder, path in sources.items():
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                missing.setdefault(folder, []).append(path)
                continue
            found.update(f'{folder}/{img_id} {size}\n'.encode())
    if missing:
        first, *more = next(iter(missing.values()))
        raise MissingFileError(
            f'{first} is missing, and {len(more)} more of the {len(files)} whose images '
            f'{voc / "ImageSets/Main"} lists: is {voc} VOC 2010, and is each archive whole?'
        )
    return found.hexdigest()


def _places(out: Path, img_id: str, files: Mapping[str, Path]) -> dict[str, Path]:
    """Where an image's files go, by their folders."""
    places = {folder: out / folder / f'{img_id}{path.suffix}' for folder, path in files.items()}
    if _LABEL_MAPS in files:
        places[_CONTEXT_MASKS] = out / _CONTEXT_MASKS / f'{img_id}.png'
    return places


def _convert(out: Path, sample: tuple[str, Mapping[str, Path]]) -> None:
    """Check an image's files, copy them, and write what follows from them."""
    img_id, files = sample
    places = _places(out, img_id, files)
    shape = read_image(files[_IMAGES]).shape[:2]
    check_object_classes(str(files[_PARTS]))
    read_human_parts(str(files[_PARTS]), shape)  # refuses what a training would
    for path, label in _read_maps(files):
        if label.shape != shape:
            raise SizeError(
                f'{path}: expected a label of the size of its image {files[_IMAGES]}, {shape}, '
                f'found {label.shape}'
            )
        if path == files.get(_LABEL_MAPS):
            with written_beside(places[_CONTEXT_MASKS]) as beside:
                save_palette_png(beside, VOC_OF_LABEL_MAP[label])
    for folder, path in files.items():
        with written_beside(places[folder]) as beside:
            shutil.copyfile(path, beside)


def _read_maps(files: Mapping[str, Path]) -> Iterator[tuple[Path, np.ndarray]]:
    """Read the maps of an image's classes."""
    if path := files.get(_LABEL_MAPS):
        yield path, read_label_map(str(path))
    if path := files.get(_VOC_MASKS):
        mask = read_index_image(path)
        wrong = mask[(mask >= len(VOC_CLASSES)) & (mask != UNLABELLED)]
        if wrong.size:
            raise RangeError(
                f'{path}: expected classes 0 to {len(VOC_CLASSES) - 1}, or {UNLABELLED}, '
                f'found {wrong[0]}'
            )
        yield path, mask
