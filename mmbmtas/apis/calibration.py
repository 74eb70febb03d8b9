"""Images to calibrate a network of 8 bits on, none of which it is scored on."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from numpy.typing import NDArray

from mmbmtas import launch
from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.launch.shared_keys import domain_datasets
from mmbmtas.reading import read_image
from mmbmtas.registry import DATASETS

from .photos import list_photos

TRAIN = 'train'
"""What stands for the images of the config's training split."""

MAX_IMAGES = 128
"""The most images that are taken, at even steps."""


def list_calibration(what: str, cfg: Config, domain: str | None = None) -> list[Path]:
    """List the images that a command line means.

    Args:
        what: A folder of images, or :data:`TRAIN`.
        cfg: The config, prepared.
        domain: Whose images to take from the config, if it has several domains.

    Raises:
        MissingFileError: There is no such folder.
        InputError: There is no image, or one is also in the test set.
    """
    if Path(what).is_dir():
        files = [Path(str(photo)) for photo in list_photos(what)]
    elif what == TRAIN:
        files = [*_image_files(cfg, 'train_dataloader', domain)]
    else:
        raise MissingFileError(
            f'--int8 {what}: there is no such folder; expected a folder of images, or {TRAIN} for '
            "the config's training split"
        )
    scored = {path.resolve() for path in _image_files(cfg, 'test_dataloader', domain)}
    common = [path for path in files if path.resolve() in scored]
    if common:
        raise InputError(
            f'--int8 {what}: {len(common)} of its {len(files)} images are in the test set too '
            f'(such as {common[0]}), on which the metrics are scored: expected others'
        )
    step = -(-len(files) // MAX_IMAGES)
    return files[::step]


def read_calibration(files: Iterable[Path], shape: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """Read images, bring them to a height and width, and yield them as RGB ``(1, 3, H, W)``.

    Raises:
        InputError: A file is no image.
    """
    height, width = shape
    for path in files:
        image = cv2.resize(read_image(path), (width, height), interpolation=cv2.INTER_AREA)
        yield np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)[None])


def _image_files(cfg: Config, loader: str, domain: str | None) -> Iterator[Path]:
    """Yield the image files of a loader's data sets."""
    if 'dataset' not in (cfg.get(loader) or {}):
        raise InputError(f'--int8: {cfg.filename} has no {loader}, whose images are needed')
    launch.require_data(cfg, loader)
    for name, dataset in domain_datasets(cfg[loader].dataset):
        if domain is not None and name not in (domain, None):
            continue
        built: Any = DATASETS.build({**dataset, 'pipeline': []})
        for index in range(len(built)):
            path = built.get_data_info(index).get('img_path')
            if path is None:
                raise InputError(
                    f'--int8: the images of {dataset["type"]} ({loader}) are no files: '
                    f'expected a folder of images in place of {TRAIN}, and a test set of files'
                )
            yield Path(path)
