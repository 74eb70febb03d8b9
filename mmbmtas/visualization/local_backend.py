"""The default backend for the sheets and the config of a run."""

from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.visualization import LocalVisBackend as _LocalVisBackend
from mmengine.visualization.vis_backend import force_init_env

from mmbmtas.registry import VISBACKENDS
from mmbmtas.writing import written_beside


@VISBACKENDS.register_module()
class LocalVisBackend(_LocalVisBackend):
    """mmengine's local backend, but pictures and config are written whole or not at all.

    Example:
        >>> vis_backends = [dict(type='LocalVisBackend')]
    """

    @force_init_env
    def add_config(self, config: Config, **_: Any) -> None:
        """Write the config."""
        with written_beside(self._config_save_file) as beside:
            config.dump(str(beside))

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **_: Any) -> None:
        """Write a picture, RGB uint8 ``(H, W, 3)``."""
        with written_beside(Path(self._img_save_dir, f'{name}_{step}.png')) as beside:
            mmcv.imwrite(image[..., ::-1], str(beside))
