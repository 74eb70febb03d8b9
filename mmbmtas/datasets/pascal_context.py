"""PASCAL-Context with labels of five tasks (the multi-task release, ``PASCAL_MT``)."""

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmengine.logging import print_log

from mmbmtas.registry import DATASETS
from mmbmtas.structures.palettes import PARTS_PALETTE, class_palette
from mmbmtas.writing import written_beside

from .base import MultiTaskDataset
from .pascal_labels import PERSON, check_object_classes, read_object_classes
from .problems import ExtraCheck, Problem
from .release import CachedSteps, Release

VOC_CLASSES = [
    'background',
    'aeroplane',
    'bicycle',
    'bird',
    'boat',
    'bottle',
    'bus',
    'car',
    'cat',
    'chair',
    'cow',
    'diningtable',
    'dog',
    'horse',
    'motorbike',
    'person',
    'pottedplant',
    'sheep',
    'sofa',
    'train',
    'tvmonitor',
]
PART_CLASSES = ['background', 'head', 'torso', 'upper arm', 'lower arm', 'upper leg', 'lower leg']

# Label maps of the release; edges, and the validity of normals, come from label_map.
_FOLDERS = {
    'human_parts': ('human_parts/{}.mat',),
    'normals': ('normals_distill/{}.png',),
    'saliency': ('sal_distill/{}.png',),
    'semseg': ('semseg/VOC12/{}.png', 'semseg/pascal-context/{}.png'),
    'label_map': ('pascal-context/trainval/{}.mat',),
}


@DATASETS.register_module()
class PascalContextMT(MultiTaskDataset):
    """PASCAL-Context: semantic classes, human parts, saliency, normals and edges.

    The layout is that of PASCAL_MT.tgz (4998 training, 5105 validation images). Of the two semantic
    maps the VOC 2012 one wins where both exist. Where ``human_parts`` is the only task, images
    without people are dropped. ``ImageSets/Parts/<split>.txt`` caches the object classes of each
    image. It is written again where it is missing or lists other images, mended where annotations
    are newer, and kept in memory where the folder cannot be written.

    Sample information beside that of :class:`MultiTaskDataset`: ``has_people`` where human parts
    are asked for. Arguments and errors are those of the base class.

    Example:
        .. code-block:: python

            dataset = dict(
                type='PascalContextMT',
                data_root='data/PASCAL_MT',
                split='train',
                tasks=['semseg', 'human_parts', 'saliency', 'normals', 'edge'],
                pipeline=[
                    dict(type='LoadSampleImage'),
                    dict(type='LoadPascalContextLabels'),
                    dict(type='DeriveEdges'),
                    dict(type='PackMultiTaskInputs'),
                ],
            )
    """

    RELEASE = Release(
        label_loader='LoadPascalContextLabels',
        name='PASCAL_MT',
        marks=('ImageSets/Context', 'JPEGImages'),
        sizes={'train': 4998, 'val': 5105},
        checks={'human_parts': check_object_classes},
        masks=('saliency',),
        cached={
            'train': CachedSteps(('train',), ('DeriveEdges',)),
            'search': CachedSteps(
                ('train',), ({'type': 'ResizeSample', 'scale_factor': 0.5}, 'DeriveEdges')
            ),
            'eval': CachedSteps(
                ('val',), ({'type': 'DeriveEdges', 'method': 'boundary', 'keep_label_map': True},)
            ),
        },
        derived={'edge': 'edge', 'label_map': 'edge'},
    )
    TASKS = ('semseg', 'human_parts', 'saliency', 'normals', 'edge')
    TASK_FILES = MappingProxyType({'normals': ('normals', 'label_map'), 'edge': ('label_map',)})
    METAINFO = {  # noqa: RUF012
        'dataset_type': 'PascalContextMT',
        'classes': {'semseg': VOC_CLASSES, 'human_parts': PART_CLASSES},
        'palette': {'semseg': class_palette(len(VOC_CLASSES)), 'human_parts': PARTS_PALETTE},
    }

    def id_file(self) -> Path:
        """The list of ids of the split."""
        return Path(self.data_root, 'ImageSets', 'Context', f'{self.split}.txt')

    def sample_files(self, ids: list[str]) -> list[dict[str, list[str]]]:
        """Where the image and the labels of each id lie."""
        names = [task for task in self.tasks if task != 'edge']
        if {'edge', 'normals'} & set(self.tasks):
            names.append('label_map')
        patterns = {'img': ('JPEGImages/{}.jpg',), **{name: _FOLDERS[name] for name in names}}
        return [{n: [p.format(i) for p in patterns[n]] for n in patterns} for i in ids]

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the split's samples, with ``has_people`` where human parts are a task."""
        samples = super().load_data_list()
        for sample in samples:
            if 'label_map' not in sample['label_paths']:
                # Where normals may be trusted stands in the label map.
                sample['label_paths'].pop('normals', None)
        if 'human_parts' not in self.tasks:
            return samples
        labelled = [s for s in samples if 'human_parts' in s['label_paths']]
        classes = self._object_classes(labelled)
        for sample in samples:
            sample['has_people'] = PERSON in classes.get(sample['img_id'], ())
        if self.tasks == ['human_parts']:
            samples = [sample for sample in samples if sample['has_people']]
        return samples

    def extra_checks(self, ids: list[str]) -> dict[str, dict[str, ExtraCheck]]:
        """Part annotations must fit the list of objects, where there is one."""
        listed, place = self.listed_objects() or {}, str(self.objects_file())
        return {
            i: {'human_parts': partial(_check_list, i, listed[i], place)}
            for i in ids
            if i in listed
        }

    def objects_file(self) -> Path:
        """The list of the objects of each image, which the dataset keeps."""
        return Path(self.data_root, 'ImageSets', 'Parts', f'{self.split}.txt')

    def listed_objects(self) -> dict[str, list[int]] | None:
        """VOC classes of the objects of each image as listed, or None without a usable list."""
        return _read_cache(self.objects_file())

    def _object_classes(self, samples: list[dict[str, Any]]) -> dict[str, list[int]]:
        """VOC classes of the objects of each image, by id, from the cache or the annotations."""
        cache = self.objects_file()
        paths = {sample['img_id']: sample['label_paths']['human_parts'] for sample in samples}
        listed = self.listed_objects()
        if listed is None or listed.keys() != paths.keys():
            listed, due = {}, paths
        else:  # an annotation that is newer than the list may have other objects
            written = os.stat(cache).st_mtime_ns
            due = {i: path for i, path in paths.items() if os.stat(path).st_mtime_ns > written}
        if not due:
            return listed
        print_log(
            f'Reading {len(due)} part annotations to list their objects in {cache} (once)',
            logger='current',
        )
        classes = {**listed, **{i: read_object_classes(path) for i, path in due.items()}}
        try:
            _write_cache(cache, classes)
        except OSError as error:
            print_log(
                f'{cache} cannot be written ({error}): the list is kept only in memory', 'current'
            )
        return classes


def _check_list(img_id: str, listed: Sequence[int], objects_file: str, path: str) -> list[Problem]:
    """Compare an annotation with what the list of objects says of it."""
    found = read_object_classes(path)
    if sorted(found) == sorted(listed):
        return []
    message = (
        f'lists objects of the classes {[*listed]} in {img_id!r}, {path} has {found}: delete this '
        'list, it is written anew'
    )
    return [Problem('split', objects_file, message)]


def _read_cache(path: Path) -> dict[str, list[int]] | None:
    """The cached classes, or None where there is no usable cache."""
    try:
        classes = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    usable = isinstance(classes, dict) and all(
        isinstance(entry, list) and all(isinstance(number, int) for number in entry)
        for entry in classes.values()
    )
    return classes if usable else None


def _write_cache(path: Path, classes: dict[str, list[int]]) -> None:
    """Write the cache so that other processes never read half a file."""
    with written_beside(path) as beside:
        beside.write_text(json.dumps(classes))
