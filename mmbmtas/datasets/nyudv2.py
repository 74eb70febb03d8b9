"""NYUD-v2 with labels of four tasks (the multi-task release, ``NYUD_MT``)."""

from pathlib import Path

from mmengine.logging import print_log

from mmbmtas.registry import DATASETS
from mmbmtas.structures.palettes import class_palette

from .base import MultiTaskDataset
from .release import CachedSteps, Release
from .stored_values import check_depth, check_edges, check_normals

NYUD_CLASSES = [
    'wall',
    'floor',
    'cabinet',
    'bed',
    'chair',
    'sofa',
    'table',
    'door',
    'window',
    'bookshelf',
    'picture',
    'counter',
    'blinds',
    'desk',
    'shelves',
    'curtain',
    'dresser',
    'pillow',
    'mirror',
    'floor mat',
    'clothes',
    'ceiling',
    'books',
    'refridgerator',
    'television',
    'paper',
    'towel',
    'shower curtain',
    'box',
    'whiteboard',
    'person',
    'night stand',
    'toilet',
    'sink',
    'lamp',
    'bathtub',
    'bag',
    'otherstructure',
    'otherfurniture',
    'otherprop',
]

# Endings of each folder's files in the packagings A, B and C that share the release's name.
_ENDINGS = {
    'images': ('jpg', 'jpg', 'png'),
    'segmentation': ('mat', 'png', 'png'),
    'edge': ('png', 'npy', 'png'),
    'normals': ('jpg', 'npy', 'png'),
    'depth': ('mat', 'npy', 'npy'),
}
_TASK_FOLDERS = {'semseg': 'segmentation', 'edge': 'edge', 'normals': 'normals', 'depth': 'depth'}


@DATASETS.register_module()
class NYUDv2MT(MultiTaskDataset):
    """NYUD-v2: semantic classes, depth, normals and edges.

    Three packagings of the release (795 training, 654 validation images of 425 x 560) share a name
    and a folder layout; which one lies at ``data_root`` is told by the endings of its files, folder
    by folder, and logged. Arguments and errors are those of :class:`MultiTaskDataset`.

    Example:
        .. code-block:: python

            dataset = dict(
                type='NYUDv2MT',
                data_root='data/NYUD_MT',
                split='train',
                tasks=['semseg', 'depth', 'normals', 'edge'],
                pipeline=[
                    dict(type='LoadSampleImage'),
                    dict(type='LoadNYUDv2Labels'),
                    dict(type='PackMultiTaskInputs'),
                ],
            )
    """

    RELEASE = Release(
        label_loader='LoadNYUDv2Labels',
        name='NYUD_MT',
        marks=('gt_sets',),
        sizes={'train': 795, 'val': 654},
        checks={'edge': check_edges, 'normals': check_normals, 'depth': check_depth},
        masks=('edge',),
        cached={
            'full': CachedSteps(),
            'search': CachedSteps(('train',), ({'type': 'ResizeSample', 'scale_factor': 2 / 3},)),
        },
    )
    TASKS = ('semseg', 'depth', 'normals', 'edge')
    METAINFO = {  # noqa: RUF012
        'dataset_type': 'NYUDv2MT',
        'classes': {'semseg': NYUD_CLASSES},
        'palette': {'semseg': class_palette(len(NYUD_CLASSES) + 1)[1:]},
    }

    def id_file(self) -> Path:
        """The list of ids of the split."""
        return Path(self.data_root, 'gt_sets', f'{self.split}.txt')

    def sample_files(self, ids: list[str]) -> list[dict[str, list[str]]]:
        """Where the image and the labels of each id lie, in the packaging that is found."""
        folders = {'img': 'images', **{task: _TASK_FOLDERS[task] for task in self.tasks}}
        endings = {folder: self._endings(folder, ids[0]) for folder in folders.values()}
        packaging, names = self.packaging(ids[0])
        print_log(
            f'NYUDv2MT: packaging {packaging} found in {self.data_root} ({names})',
            logger='current',
        )
        return [
            {name: [f'{f}/{i}.{end}' for end in endings[f]] for name, f in folders.items()}
            for i in ids
        ]

    def describe_packaging(self, ids: list[str]) -> str:
        """Name the packaging and its files' endings."""
        packaging, names = self.packaging(ids[0])
        return f'NYUD_MT packaging {packaging} ({names})'

    def packaging(self, img_id: str) -> tuple[str, str]:
        """Name the packaging by the files of one image.

        Args:
            img_id: The image's id.

        Returns:
            ``A``, ``B``, ``C``, those that it may be, or ``mixed``; and the files' names.
        """
        folders = ('images', *(_TASK_FOLDERS[task] for task in self.tasks))
        endings = {folder: self._endings(folder, img_id) for folder in folders}
        found = {folder: ending[0] for folder, ending in endings.items() if len(ending) == 1}
        packagings = [
            name
            for index, name in enumerate('ABC')
            if all(_ENDINGS[folder][index] == ending for folder, ending in found.items())
        ]
        names = ', '.join(f'{folder}/*.{ending}' for folder, ending in found.items())
        return ' or '.join(packagings) or 'mixed', names

    def _endings(self, folder: str, first_id: str) -> list[str]:
        """The ending of a folder's files, or all that it may have where the first is missing."""
        allowed = list(dict.fromkeys(_ENDINGS[folder]))
        present = [e for e in allowed if Path(self.data_root, folder, f'{first_id}.{e}').is_file()]
        return present[:1] or allowed
