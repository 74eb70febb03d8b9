"""Computes backbone features of training images once, and keeps them on the disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS

from mmbmtas.cells.backbone import FrozenBackbone
from mmbmtas.cells.features import META, FeatureCache
from mmbmtas.cells.settings import STRIDE, CellSearchSettings
from mmbmtas.errors import InputError
from mmbmtas.launch.shared_keys import plain_datasets
from mmbmtas.progress import Progress
from mmbmtas.writing import folder_written_beside, write_json

_FINGERPRINT = ('weights', 'encoder', 'preprocessing', 'data', 'pipeline', 'low_level')


def write_features(
    cfg: Config, settings: CellSearchSettings, folder: Path, device: torch.device
) -> FeatureCache:
    """Compute the features of the training images, unless they exist.

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
