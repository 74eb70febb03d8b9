"""Problems whose best tree is known: a tree of small random layers makes the labels."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from torch import Tensor
from torch.nn import functional as F

from mmbmtas.errors import InputError
from mmbmtas.foreign import keep_labels_in_place
from mmbmtas.registry import DATASETS, TRANSFORMS
from mmbmtas.structures import TaskGrouping
from mmbmtas.structures.values import require_count

MEAN, STD = 128, 32
"""How the images, of mean 0 and deviation 1, are stored in bytes: ``128 + 32 x``."""


@DATASETS.register_module()
class PlantedMT(BaseDataset):
    """Images of noise, and tasks that a planted tree computes from them, made in memory.

    The images are Gaussian noise, blurred by a box of 3 x 3 pixels, with mean 0 and deviation 1.
    The teacher is a tree: each branch of each layer is a 3x3 convolution with random normal weights
    (deviation ``1 / sqrt(9 C)`` for ``C`` input channels), a standardisation of each channel over
    all images, and a ReLU. A task's label is a random linear readout of its branch of the last
    layer, standardised: a map of floats ``gt_<task>`` of the image's size.

    A student with layers of the same kind, width and number (:class:`PlainEncoder`) can compute all
    tasks exactly if its tree is the planted one. Two planted branches do not fit into one copy of a
    layer, and a finer tree only costs more: at the planted tree's cost it is the best.

    Everything follows from ``seed``; the splits differ in their images only.

    Args:
        tree: For each layer the groups of tasks that share it, such as
            ``[[['a', 'b', 'c']], [['a', 'c'], ['b']]]``.
        split: ``train`` or ``val``.
        tasks: The tasks whose labels to give; default all of the tree.
        width: Channels of each branch.
        size: Height and width of the images in pixels.
        num_train: Images of the training split.
        num_val: Images of the validation split.
        seed: Seed of images and teacher.
        pipeline: Transforms of a sample.
        test_mode: As mmengine's.
        indices: First ``n`` samples, or positions of the samples, to keep.

    Raises:
        InputError: ``tree`` is no tree, ``split`` or a task is unknown, or a number is below 1.

    Example:
        >>> tree = [[['a', 'c'], ['b', 'd']]] * 2
        >>> dataset = PlantedMT(tree, num_train=8, num_val=4)
        >>> len(dataset), dataset[0]['img'].shape, dataset[0]['gt_a'].dtype
        (8, (16, 16, 3), dtype('float32'))
    """

    METAINFO = {'dataset_type': 'PlantedMT'}  # noqa: RUF012

    def __init__(
        self,
        tree: Sequence[Sequence[Sequence[str]]],
        split: Literal['train', 'val'] = 'train',
        tasks: Sequence[str] | None = None,
        width: int = 4,
        size: int = 16,
        num_train: int = 512,
        num_val: int = 256,
        seed: int = 0,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        indices: int | Sequence[int] | None = None,
    ) -> None:
        if split not in ('train', 'val'):
            raise InputError(f"split {split!r} of PlantedMT: expected 'train' or 'val'")
        numbers = dict(width=width, size=size, num_train=num_train, num_val=num_val)
        for name, number in numbers.items():
            require_count(f'PlantedMT: {name}', number)
        self.tree, names = _read_tree(tree)
        self.tasks = list(names if tasks is None else tasks)
        if not self.tasks or not set(self.tasks) <= set(names):
            raise InputError(f'tasks {self.tasks} of PlantedMT: expected some of {names}')
        images, labels = _make(self.tree, width, size, num_train + num_val, seed)
        own = slice(num_train) if split == 'train' else slice(num_train, None)
        self.images = images[own]
        self.labels = {task: labels[names.index(task)][own] for task in self.tasks}
        self.split = split
        super().__init__(
            pipeline=[
                TRANSFORMS.build(t) if isinstance(t, Mapping) else keep_labels_in_place(t)
                for t in pipeline
            ],
            test_mode=test_mode,
            indices=indices,
            serialize_data=False,
        )
        self._metainfo['tasks'] = tuple(self.tasks)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the samples: a number and a name each."""
        return [
            {'number': number, 'img_id': f'{self.split}_{number}', 'img_path': f'planted {number}'}
            for number in range(len(self.images))
        ]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return a sample's image, uint8 ``(H, W, 3)``, and its labels, float32 ``(H, W)``."""
        info = super().get_data_info(idx)
        number = info.pop('number')
        shape = self.images.shape[1:3]
        labels = {f'gt_{task}': maps[number] for task, maps in self.labels.items()}
        return {
            **info,
            **labels,
            'img': self.images[number],
            'img_shape': shape,
            'ori_shape': shape,
            'label_keys': [*labels],
        }


def _read_tree(
    tree: Sequence[Sequence[Sequence[str]]],
) -> tuple[list[TaskGrouping], list[str]]:
    """Return the grouping of each layer, and the tasks' names in the order of the first layer.

    Raises:
        InputError: It is no tree.
    """
    try:
        names = sorted(task for group in tree[0] for task in group)
        groupings = [
            TaskGrouping(tuple(tuple(names.index(task) for task in group) for group in layer))
            for layer in tree
        ]
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise InputError(f'tree {tree!r} of PlantedMT is no tree of tasks: {error}') from error
    for layer, (grouping, before) in enumerate(zip(groupings[1:], groupings, strict=False), 1):
        if grouping.num_tasks != len(names) or not grouping.refines(before):
            raise InputError(
                f'tree of PlantedMT: layer {layer} has the groups {tree[layer]}, expected those of '
                f'layer {layer - 1}, {tree[layer - 1]}, or parts of them'
            )
    return groupings, names


def _make(
    tree: Sequence[TaskGrouping], width: int, size: int, number: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Make images ``(N, size, size, 3)`` in bytes and labels ``(T, N, size, size)``."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(number, 3, size, size, generator=generator)
    blurred = F.avg_pool2d(F.pad(noise, (1, 1, 1, 1), mode='circular'), 3, stride=1)
    images = (_standardised(blurred) * STD + MEAN).round().clamp(0, 255)
    x = (images - MEAN) / STD  # what a network is given
    features: dict[tuple[int, ...], Tensor] = {}
    for grouping in tree:
        before, features = features, {}
        for group in grouping.groups:
            parent = next((f for tasks, f in before.items() if {*group} <= {*tasks}), x)
            features[group] = _branch(parent, width, generator)
    labels = []
    for task in range(tree[-1].num_tasks):
        leaf = next(f for tasks, f in features.items() if task in tasks)
        readout = torch.randn(1, width, 1, 1, generator=generator)
        labels.append(_standardised((leaf * readout).sum(dim=1, keepdim=True))[:, 0])
    return images.permute(0, 2, 3, 1).byte().numpy(), torch.stack(labels).numpy()


def _branch(x: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """Run a new random layer."""
    channels = x.shape[1]
    weight = torch.randn(width, channels, 3, 3, generator=generator) / math.sqrt(9 * channels)
    return _standardised(F.conv2d(x, weight, padding=1)).relu()


def _standardised(x: Tensor) -> Tensor:
    """Bring each channel to mean 0 and deviation 1 over images and pixels."""
    deviation, mean = torch.std_mean(x, dim=(0, 2, 3), keepdim=True)
    return (x - mean) / deviation.clamp(min=1e-6)
