"""Backbone features of training images, read from the disk on demand."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmbmtas.cells.settings import STRIDE, CellSearchSettings
from mmbmtas.errors import InputError
from mmbmtas.structures.data_sample import MultiTaskDataSample

META = 'meta.json'
"""File that describes a cache."""
_LOW_STRIDE = 4


@dataclass
class CachedFeatures:
    """Cached features that replace a batch of images.

    Attributes:
        low_level: ``(N, C_low, H / 4, W / 4)``.
        features: What the context module reads, ``(N, C, H / 16, W / 16)``.
    """

    low_level: Tensor
    features: Tensor

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the images."""
        height, width = self.features.shape[2:]
        return len(self.features), 3, height * STRIDE, width * STRIDE

    def to(self, device: torch.device) -> 'CachedFeatures':
        """Bring the features to a device."""
        return CachedFeatures(self.low_level.to(device), self.features.to(device))


class FeatureCache:
    """The features, labels and split of the training images, read from the disk on demand.

    The images' mirror images stand after them: image ``i`` of ``n`` mirrored is ``n + i``.

    Args:
        folder: What :func:`~mmbmtas.cells.feature_writer.write_features` wrote.
        settings: The search's settings.
    """

    def __init__(self, folder: Path, settings: CellSearchSettings) -> None:
        self.settings = settings
        self.meta = json.loads((folder / META).read_text())
        self.features = np.load(folder / 'features.npy', mmap_mode='r')
        low = folder / 'low_level.npy'
        self.low_level = np.load(low, mmap_mode='r') if low.exists() else None
        self.labels = {
            name: np.load(folder / f'{name}.npy', mmap_mode='r') for name in self.meta['labels']
        }
        self.scored, self.trained = self._split()
        image = [STRIDE * side for side in self.features.shape[2:]]
        crop = settings.crop
        if crop is not None and (crop[0] > image[0] or crop[1] > image[1]):
            raise InputError(
                f'cell_search.crop {crop} is larger than the images after cell_search.pipeline, '
                f'{image[0]} x {image[1]}'
            )

    def _split(self) -> tuple[list[int], list[int]]:
        """Choose the images that trials are scored on; the others train."""
        count = self.meta['images']
        order = np.random.default_rng(self.settings.split_seed).permutation(count).tolist()
        scored = max(1, round(self.settings.search_fraction * count))
        return sorted(order[:scored]), sorted(order[scored:])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the feature maps that trials train on."""
        if self.settings.crop is None:
            return self.features.shape[2], self.features.shape[3]
        height, width = self.settings.crop
        return height // STRIDE, width // STRIDE

    def training_batch(self, seed: int, iteration: int) -> tuple[CachedFeatures, list[Any]]:
        """Return the batch of an iteration, the same for all trials."""
        rng = np.random.default_rng([seed, iteration])
        height, width = self.size
        rows, columns = self.features.shape[2] - height, self.features.shape[3] - width
        windows = []
        for _ in range(self.settings.batch_size):
            image = self.trained[rng.integers(len(self.trained))]
            mirrored = bool(rng.integers(2))
            top, left = int(rng.integers(rows + 1)), int(rng.integers(columns + 1))
            windows.append((image, mirrored, top, left, height, width))
        return self._batch(windows)

    def scoring_batches(self) -> Iterator[tuple[CachedFeatures, list[Any]]]:
        """Yield the whole images that trials are scored on."""
        height, width = self.features.shape[2:]
        for start in range(0, len(self.scored), self.settings.batch_size):
            images = self.scored[start : start + self.settings.batch_size]
            yield self._batch([(image, False, 0, 0, height, width) for image in images])

    def _batch(
        self, windows: Sequence[tuple[int, bool, int, int, int, int]]
    ) -> tuple[CachedFeatures, list[Any]]:
        low, features, samples = [], [], []
        for image, mirrored, top, left, height, width in windows:
            row = image + mirrored * self.meta['images']
            at = np.s_[row, :, top : top + height, left : left + width]
            features.append(np.asarray(self.features[at], np.float32))
            low.append(self._low_level(row, top, left, height, width))
            samples.append(self._sample(row, image, top, left, height, width))
        stacked = (torch.from_numpy(np.stack(maps)) for maps in (low, features))
        return CachedFeatures(*stacked), samples

    def _low_level(self, row: int, *window: int) -> np.ndarray:
        ratio = STRIDE // _LOW_STRIDE
        top, left, height, width = (number * ratio for number in window)
        if self.low_level is None:
            return np.zeros((self.meta['low_channels'], height, width), np.float32)
        at = np.s_[row, :, top : top + height, left : left + width]
        return np.asarray(self.low_level[at], np.float32)

    def _sample(self, row: int, image: int, *window: int) -> Any:
        """Return the labels of a window."""
        top, left, height, width = (number * STRIDE for number in window)
        multiple = self.meta['sample'] == MultiTaskDataSample.__name__
        shape = (height, width)
        sample = (MultiTaskDataSample if multiple else SegDataSample)(
            metainfo={
                'img_path': self.meta['paths'][image],
                'ori_shape': shape,
                'img_shape': shape,
                'pad_shape': shape,
                'padding': (0, 0, 0, 0),
            }
        )
        for name, values in self.labels.items():
            if image in self.meta['labels'][name]:
                window_ = values[row, :, top : top + height, left : left + width]
                sample.set_data({name: PixelData(data=torch.from_numpy(np.array(window_)))})
        return sample
