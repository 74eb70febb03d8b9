"""Backbone features of training images, computed once and kept on the disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmbmtas.cells.settings import STRIDE, CellSearchSettings
from mmbmtas.errors import InputError
from mmbmtas.launch.shared_keys import plain_datasets
from mmbmtas.launch.stages import write_json
from mmbmtas.models.backbones import BranchedNetwork
from mmbmtas.models.encoders import CONTEXT, Encoder, build_encoder
from mmbmtas.progress import Progress
from mmbmtas.structures import BranchedArchitecture, as_architecture
from mmbmtas.structures.data_sample import MultiTaskDataSample
from mmbmtas.writing import folder_written_beside

META = 'meta.json'
_LOW_STRIDE = 4
_FINGERPRINT = ('weights', 'encoder', 'preprocessing', 'data', 'pipeline', 'low_level')


@dataclass
class CachedFeatures:
    """Features in the place of a batch of images.

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


class FrozenBackbone(nn.Module):
    """The backbone of a config up to its context module, as it starts a training.

    Args:
        cfg: A prepared config with ``model.backbone``, a ``BranchedNetwork``.

    Attributes:
        encoder: The encoder.

    Raises:
        InputError: The config's backbone has no encoder with a context module.
    """

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.encoder = encoder_of(cfg)
        backbone = cfg.model.backbone
        tree = BranchedArchitecture.shared(
            ['all'], self.encoder.to_config(), self.encoder.num_layers
        )
        torch.manual_seed(0)  # without weights from a file, the same random ones each time
        self.network = BranchedNetwork(
            tree, self.encoder, task='all', init_cfg=backbone.get('init_cfg')
        )
        self.network.init_weights()
        self.network.layers[-1][0] = nn.Identity()
        self.preprocessor = MODELS.build(cfg.model.data_preprocessor)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Sequence[Tensor]) -> CachedFeatures:
        """Compute the features of images ``(3, H, W)`` of one size, uint8."""
        samples = [SegDataSample() for _ in images]
        data = self.preprocessor({'inputs': [*images], 'data_samples': samples}, False)
        return CachedFeatures(*self.network(data['inputs']))


def encoder_of(cfg: Config) -> Encoder:
    """Return the encoder of a config's backbone.

    Raises:
        InputError: There is none, or it has no context module.
    """
    backbone = (cfg.get('model') or {}).get('backbone') or {}
    given = backbone.get('encoder')
    if given is None and backbone.get('architecture') is not None:
        given = as_architecture(backbone['architecture']).encoder
    if given is None:
        raise InputError(f'{cfg.filename}: model.backbone.encoder is missing')
    encoder = build_encoder(given)
    if encoder.layer_names[-1] != CONTEXT:
        raise InputError(f'{cfg.filename}: {type(encoder).__name__} has no context module')
    return encoder


class FeatureCache:
    """The features, labels and split of the training images, read from the disk by need.

    The images' mirror images stand after them: image ``i`` of ``n`` mirrored is ``n + i``.

    Args:
        folder: What :func:`write_features` wrote.
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


def write_features(
    cfg: Config, settings: CellSearchSettings, folder: Path, device: torch.device
) -> FeatureCache:
    """Compute the features of the training images, unless they are there.

    Args:
        cfg: A prepared config.
        settings: The search's settings.
        folder: Where they are kept.
        device: Where the backbone runs.

    Raises:
        InputError: What is there was made of other weights or data, images have several sizes, or
            the disk lacks the space.
    """
    backbone = FrozenBackbone(cfg)
    datasets = [_dataset(cfg, settings, mirrored) for mirrored in (False, True)]
    count = min(len(datasets[0]), settings.max_images or len(datasets[0]))
    if count < 2:
        raise InputError(f'{cfg.filename}: {count} training images, expected 2 or more')
    fingerprint = _fingerprint(cfg, settings, backbone, datasets[0], count)
    if (folder / META).exists():
        _check_same(json.loads((folder / META).read_text())['fingerprint'], fingerprint, folder)
        return FeatureCache(folder, settings)
    _check_space(datasets[0][0], backbone, count, settings, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder_written_beside(folder) as beside:
        writer = _Writer(beside, count, settings, backbone.to(device), device)
        with Progress(2 * count, 'features') as progress:
            for mirrored, dataset in enumerate(datasets):
                for start in range(0, count, settings.batch_size):
                    images = range(start, min(start + settings.batch_size, count))
                    writer.write([(i, dataset[i]) for i in images], bool(mirrored))
                    progress.advance(len(images))
        meta = writer.finish()
        meta['dataset'] = _plain(datasets[0].metainfo)
        write_json({**meta, 'fingerprint': fingerprint}, beside / META)
    return FeatureCache(folder, settings)


class _Writer:
    """Fills the arrays of a cache; their shapes are those of the first image."""

    def __init__(
        self,
        folder: Path,
        count: int,
        settings: CellSearchSettings,
        backbone: FrozenBackbone,
        device: torch.device,
    ) -> None:
        self.folder, self.count, self.settings = folder, count, settings
        self.backbone, self.device = backbone, device
        self.arrays: dict[str, np.ndarray] = {}
        self.present: dict[str, list[int]] = {}
        self.paths: list[str] = [''] * count
        self.shape: tuple[int, ...] | None = None
        self.sample: str | None = None
        self.low_channels: int | None = None

    def write(self, data: Sequence[tuple[int, Mapping[str, Any]]], mirrored: bool) -> None:
        """Write images with their labels."""
        for index, item in data:
            self._check(item)
            self.paths[index] = str(item['data_samples'].metainfo.get('img_path', index))
        found = self.backbone([item['inputs'].to(self.device) for _, item in data])
        self.low_channels = found.low_level.shape[1]
        for place, (index, item) in enumerate(data):
            row = index + mirrored * self.count
            self._store('features', row, found.features[place].half().cpu().numpy())
            if self.settings.low_level:
                self._store('low_level', row, found.low_level[place].half().cpu().numpy())
            for name, value in item['data_samples'].items():
                if name.startswith('gt_'):
                    self._store(name, row, value.data.numpy())
                    if not mirrored:
                        self.present.setdefault(name, []).append(index)

    def _check(self, item: Mapping[str, Any]) -> None:
        """Refuse images of another size, and labels of another than their image's."""
        shape, sample = tuple(item['inputs'].shape), item['data_samples']
        path = sample.metainfo.get('img_path')
        self.sample = type(sample).__name__
        self.shape = self.shape or shape
        if shape != self.shape:
            raise InputError(
                f'{path} is {shape[1:]} after cell_search.pipeline, others are {self.shape[1:]}: '
                'expected one size, as PadToSize(size=...) makes it'
            )
        if shape[1] % STRIDE or shape[2] % STRIDE:
            raise InputError(
                f'{path} is {shape[1:]} after cell_search.pipeline: expected multiples of '
                f'{STRIDE}, as PadToSize makes them'
            )
        for name, value in sample.items():
            if name.startswith('gt_') and tuple(value.data.shape[-2:]) != shape[1:]:
                raise InputError(
                    f'{path}: {name} is {tuple(value.data.shape[-2:])}, the image {shape[1:]}: '
                    'cell_search.pipeline must give labels of the image size'
                )

    def _store(self, name: str, row: int, value: np.ndarray) -> None:
        if name not in self.arrays:
            self.arrays[name] = np.lib.format.open_memmap(
                self.folder / f'{name}.npy', 'w+', value.dtype, (2 * self.count, *value.shape)
            )
        self.arrays[name][row] = value

    def finish(self) -> dict[str, Any]:
        """Close the files and describe them."""
        for array in self.arrays.values():
            array.flush()  # type: ignore[attr-defined]
        return {
            'images': self.count,
            'sample': self.sample,
            'low_channels': self.low_channels,
            'labels': self.present,
            'paths': self.paths,
        }


def _dataset(cfg: Config, settings: CellSearchSettings, mirrored: bool) -> Any:
    """Build the training data set with the cache's pipeline, mirroring or not."""
    dataset = deepcopy(cfg.train_dataloader.dataset)
    *before, pack = settings.pipeline
    pipeline = [*before, *([settings.mirror] if mirrored else []), pack]
    for plain in plain_datasets(dataset):
        plain.pipeline = deepcopy(pipeline)
    return DATASETS.build(dataset)


def _fingerprint(
    cfg: Config, settings: CellSearchSettings, backbone: FrozenBackbone, dataset: Any, count: int
) -> dict[str, str]:
    """Digest all that decides the features, part by part."""
    weights = hashlib.sha256()
    for name, value in sorted(backbone.network.state_dict().items()):
        if not name.endswith('_extra_state'):
            weights.update(name.encode() + value.cpu().numpy().tobytes())
    encoder = backbone.encoder.to_config()
    for entry in ('context', 'context_channels'):
        encoder.pop(entry, None)
    paths = [dataset.get_data_info(index)['img_path'] for index in range(count)]
    data = [(path, os.path.getsize(path) if os.path.exists(path) else None) for path in paths]
    parts = {
        'encoder': encoder,
        'preprocessing': _plain(cfg.model.data_preprocessor),
        'data': data,
        'pipeline': [settings.pipeline, settings.mirror],
        'low_level': settings.low_level,
    }
    digests = {name: _digest(value) for name, value in parts.items()}
    return {'weights': weights.hexdigest(), **digests}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _check_same(found: Mapping[str, str], asked: Mapping[str, str], folder: Path) -> None:
    """Refuse a cache of other weights, data or settings."""
    changed = [name for name in _FINGERPRINT if found.get(name) != asked[name]]
    if changed:
        raise InputError(
            f'{folder} was made with other {", ".join(changed)}: choose another output folder, or '
            'remove that one'
        )


def _check_space(
    item: Mapping[str, Any],
    backbone: FrozenBackbone,
    count: int,
    settings: CellSearchSettings,
    folder: Path,
) -> None:
    """Say how much the cache takes, and refuse a disk that lacks it."""
    found = backbone([item['inputs']])
    labels = sum(
        value.data.numel() * value.data.element_size()
        for name, value in item['data_samples'].items()
        if name.startswith('gt_')
    )
    low = 2 * found.low_level.numel()
    image = 2 * found.features.numel() + labels + (low if settings.low_level else 0)
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    free, needed = shutil.disk_usage(above).free, 2 * count * image
    print(f'Features of {count} images and their mirror images: {needed / 1e9:.2f} GB', flush=True)
    if needed > free:
        without = ''
        if settings.low_level:
            less = 2 * count * (image - low)
            without = f'; with cell_search.low_level=False they take {less / 1e9:.2f} GB'
        raise InputError(
            f'{folder} needs {needed / 1e9:.2f} GB, {above} has {free / 1e9:.2f} GB free{without}'
        )
