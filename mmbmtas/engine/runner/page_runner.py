"""A runner with a log that fits on a page; details go to files next to the log."""

import logging
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmengine.utils.dl_utils import collect_env
from torch import nn

from mmbmtas.engine.wrapping import unwrapped
from mmbmtas.version import __version__

_DETAILS = (
    'Distributed training is not used, all SyncBatchNorm',
    'Hooks will be executed in the following order',
    'Exp name: ',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias of',
    'Failed to import `mmbmtas.registry`',
)
"""Beginnings of mmengine's messages that tell a user nothing to act on."""

_WARNINGS: tuple[tuple[type[Warning], str, str], ...] = (
    # What mmengine and its siblings call of torch, mostly old names, is not for a user to change.
    (FutureWarning, '', r'(mmengine|mmcv|mmseg|mmpretrain|torch)(\.|$)'),
    (DeprecationWarning, '', r'(mmengine|mmcv|mmseg|mmpretrain|torch)(\.|$)'),
    (UserWarning, 'The shape of value will convert from', r'mmengine\.structures\.pixel_data'),
    # A task that a batch lacks leaves parameters without a gradient; that all have one is luck.
    (UserWarning, 'find_unused_parameters=True was specified', ''),
)
"""Category, beginning of the message and module of warnings of the same kind."""


class PageRunner(Runner):
    """mmengine's runner with a short log.

    The environment, the order of the hooks and how each parameter began are written to
    ``environment.txt``, ``hooks.txt`` and ``initialization.txt`` beside the log, and the config to
    the work directory. With ``log_level='DEBUG'`` the log has them as well, as mmengine writes it.
    """

    def build_logger(
        self, log_level: int | str = 'INFO', log_file: str | None = None, **kwargs: Any
    ) -> MMLogger:
        """Build mmengine's logger without its details."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        if not self._is_detailed(logger):
            logger.addFilter(_is_for_user)
            for category, message, module in _WARNINGS:
                warnings.filterwarnings('ignore', message, category, module)
        return logger

    def register_hooks(self, *args: Any, **kwargs: Any) -> None:
        """Register hooks, and write down their order."""
        super().register_hooks(*args, **kwargs)
        self._write('hooks.txt', self.get_hooks_info)

    def _log_env(self, env_cfg: dict) -> None:
        """Log what decides numbers and speed; all else goes to a file."""
        if self._is_detailed(self.logger):
            super()._log_env(env_cfg)
            return
        details = {**collect_env(), **env_cfg, **self._randomness_cfg, 'seed': self.seed}
        self._write('environment.txt', lambda: ''.join(f'{k}: {v}\n' for k, v in details.items()))
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
        config = Path(self.cfg.filename).name if self.cfg.filename else f'{self.timestamp}.py'
        self.logger.info(
            f'mmbmtas {__version__}, mmengine {mmengine.__version__}, torch {torch.__version__}; '
            f'{device}, {self.world_size} rank{"s" * (self.world_size > 1)}, seed {self.seed}. '
            f'Config: {Path(self.work_dir, config)}; environment, hooks and initialization: '
            f'{self.log_dir}'
        )

    def _init_model_weights(self) -> None:
        """Initialise the weights; how each was goes to a file."""
        model = unwrapped(self.model)
        if self._is_detailed(self.logger) or not hasattr(model, '_dump_init_info'):
            super()._init_model_weights()
            return
        write = partial(self._write, 'initialization.txt', partial(_initialization, model))
        model._dump_init_info = write
        try:
            super()._init_model_weights()
        finally:
            del model._dump_init_info

    def _is_detailed(self, logger: MMLogger) -> bool:
        return any(handler.level <= logging.DEBUG for handler in logger.handlers)

    def _write(self, name: str, text: Callable[[], str]) -> None:
        if is_main_process():
            Path(self.log_dir, name).write_text(text(), encoding='utf-8')


def _is_for_user(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_DETAILS)


def _initialization(model: nn.Module) -> str:
    """Say of each parameter how mmengine's ``init_weights`` has set it."""
    infos: Any = model._params_init_info
    return ''.join(
        f'{name} {tuple(parameter.shape)}: {infos[parameter]["init_info"].strip()}\n'
        for name, parameter in model.named_parameters()
    )
