"""The images on which affinities are measured."""

import copy
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader, Subset

from mmbmtas.errors import InputError
from mmbmtas.launch.shared_keys import plain_datasets
from mmbmtas.progress import Progress
from mmbmtas.registry import DATASETS

SPLITS = ('train', 'val', 'test')


def add_image_arguments(parser: ArgumentParser) -> None:
    """Add the options that choose the images to measure on."""
    parser.add_argument('--images', type=int, default=500, help='number of images (default: 500)')
    parser.add_argument(
        '--split',
        choices=SPLITS,
        default='train',
        help='split of the images; by default training images, because images of the other splits '
        'score the trees afterwards',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed for drawing the images (default: 0)'
    )


def image_loader(cfg: Config, split: str, count: int, seed: int = 0) -> DataLoader:
    """Load images as in testing, without augmentation.

    Args:
        cfg: Config of a training.
        split: ``train``, ``val`` or ``test``. Training images go through the transforms of the
            test data set.
        count: How many images to draw, without repetition; all if there are fewer.
        seed: Seed of the drawing.

    Raises:
        ValueError: No image is asked for, or training and test data sets don't correspond.
    """
    if count < 1:
        raise InputError(f'{count} images: expected at least 1')
    dataset: Any = DATASETS.build(_dataset_config(cfg, split))
    order = np.random.default_rng(seed).permutation(len(dataset))[:count]
    options = cfg.test_dataloader
    return DataLoader(
        Subset(dataset, sorted(order.tolist())),
        batch_size=options.get('batch_size', 1),
        num_workers=options.get('num_workers', 0),
        collate_fn=pseudo_collate,
    )


def _dataset_config(cfg: Config, split: str) -> dict[str, Any]:
    dataset = copy.deepcopy(cfg[f'{split}_dataloader'].dataset)
    if split != 'train':
        return dataset
    own = [*plain_datasets(dataset)]
    tested = [*plain_datasets(cfg.test_dataloader.dataset)]
    if len(own) != len(tested):
        raise InputError(
            f'{len(own)} data sets for training, {len(tested)} for testing: cannot tell which '
            'transforms training images take in testing. Choose --split val or test'
        )
    for training, testing in zip(own, tested, strict=True):
        training.pipeline = testing.pipeline
        training.test_mode = True
    return dataset


def with_progress(loader: DataLoader) -> Iterator[Any]:
    """Yield the batches, and show on the standard error how many images are done."""
    with Progress(len(loader.dataset), 'measuring images') as progress:  # type: ignore[arg-type]
        for batch in loader:
            yield batch
            progress.advance(len(batch['inputs']))
