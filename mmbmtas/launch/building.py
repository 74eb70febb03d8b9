"""From a config to a runner: what notebooks call, and what the tools do last."""

from pathlib import Path

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmbmtas.engine.hooks.classes_hook import ClassesHook
from mmbmtas.engine.hooks.image_size_hook import ImageSizeHook
from mmbmtas.engine.hooks.monitor_hook import MonitorHook
from mmbmtas.engine.hooks.validation_images_hook import ValidationImagesHook
from mmbmtas.engine.runner.page_runner import PageRunner
from mmbmtas.errors import MissingFileError
from mmbmtas.launch.launch import prepare_config
from mmbmtas.launch.loading import guard_loading
from mmbmtas.launch.shared_keys import placed_datasets
from mmbmtas.registry import DATASETS, is_type

TRAINING_DATA = ('train_dataloader', 'val_dataloader')
"""Loaders of the data that a training needs."""


def build_runner(cfg: Config, strict: bool = False) -> Runner:
    """Build the runner of a config, as ``tools/train.py`` does; for notebooks and scripts.

    Args:
        cfg: The config, as :func:`read_config` or ``Config.fromfile`` gives it; it is filled in
            place. Without ``launcher`` there is one rank, without ``work_dir`` it is
            ``work_dirs/NAME_OF_CONFIG``.
        strict: Whether weights that ``load_from`` names must fit exactly.

    Returns:
        The runner: ``runner.train()`` trains.

    Raises:
        InputError: As :func:`prepare_config`.
        MissingFileError: As :func:`prepare_config`, or a folder of data does not exist.

    Example:
        >>> from mmbmtas import launch  # doctest: +SKIP
        >>> cfg = launch.read_config('configs/search_scenes.py', {'weight_iters': 20})
        >>> launch.build_runner(cfg).train()
    """
    cfg.setdefault('launcher', 'none')
    if cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(cfg.filename or 'config').stem)
    prepare_config(cfg)
    require_data(cfg, *TRAINING_DATA)
    return runner_of(cfg, strict)


def runner_of(cfg: Config, strict: bool) -> Runner:
    """Build the runner of a prepared config; see :func:`guard_loading` for what it loads."""
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else PageRunner.from_cfg(cfg)
    guard_loading(runner, strict)
    runner.register_hook(ClassesHook(loaded_too=strict))
    runner.register_hook(MonitorHook())
    runner.register_hook(ImageSizeHook())
    runner.register_hook(ValidationImagesHook())
    return runner


def require_data(cfg: Config, *loaders: str) -> None:
    """Refuse data sets whose folder does not exist, before anything is built.

    Args:
        cfg: The config, filled in.
        loaders: Names of the data loaders that are needed.

    Raises:
        MissingFileError: There is no such folder.
    """
    for place, dataset in placed_datasets(cfg, loaders):
        root, kind = dataset.get('data_root'), dataset.get('type')
        if (
            isinstance(root, str | Path)
            and '://' not in str(root)
            and is_type(DATASETS, kind, BaseDataset, cfg.get('default_scope'))
            and not Path(root).exists()
        ):
            raise MissingFileError(
                f'data_root = {str(root)!r} ({place}): there is no such folder; it must be the '
                'folder of the unpacked dataset (docs/data.md)'
            )
