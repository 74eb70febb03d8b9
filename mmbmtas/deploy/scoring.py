"""Scores exported networks on a config's test set."""

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbmtas import launch

from .export import ExportedNetwork
from .model import use_exported


def score(
    config: str, options: Mapping[str, Any] | None, networks: Mapping[str, ExportedNetwork]
) -> dict[str, dict[str, float]]:
    """Score networks, as ``tools/test.py`` scores their files.

    Args:
        config: The config.
        options: Overrides of it.
        networks: ONNX networks by name.

    Returns:
        The metrics of each.

    Raises:
        FileNotFoundError: A file of the test set is missing.
        InputError: The config cannot test them.
    """
    with tempfile.TemporaryDirectory() as folder:
        return {
            name: _score(launch.read_config(config, options), exported, Path(folder, name))
            for name, exported in networks.items()
        }


def _score(cfg: Any, exported: ExportedNetwork, folder: Path) -> dict[str, float]:
    folder.mkdir()
    (path, _) = exported.write(folder / 'network.onnx')
    use_exported(cfg, str(path))
    cfg.merge_from_dict(
        {'work_dir': str(folder), 'launcher': 'none', 'resume': False, 'log_level': 'WARNING'}
    )
    launch.prepare_config(cfg, training=False)
    launch.require_data(cfg, 'test_dataloader')
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '.*get_instance')  # the second runner's visualizer
        metrics = launch.runner_of(cfg, strict=True).test()
    return {name: value for name, value in metrics.items() if name not in ('time', 'data_time')}
