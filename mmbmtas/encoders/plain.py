"""A few plain convolutions, for problems small enough to search in seconds."""

from typing import Any

from mmcv.cnn import ConvModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.registry import TASK_UTILS
from mmbmtas.structures.values import require_count

from .base import Encoder


@TASK_UTILS.register_module()
class PlainEncoder(Encoder):
    """Layers of one 3x3 convolution, normalisation and ReLU, all at the image's size.

    The layers of :class:`~mmbmtas.datasets.PlantedMT`'s teacher. The stem passes the image on;
    there is no context module, and the low-level features are the first layer's. There are no
    public weights.

    Args:
        width: Channels of every layer.
        depth: Number of layers.
        norm_cfg: Normalisation of every layer.

    Raises:
        InputError: ``width`` or ``depth`` is not a whole number from 1.

    Example:
        >>> encoder = PlainEncoder(width=4, depth=3)
        >>> encoder.layer_names, encoder.stages
        (('stage1.0', 'stage1.1', 'stage1.2'), (range(0, 3),))
    """

    stem_channels = 3
    low_level_index = 0

    def __init__(self, width: int = 4, depth: int = 3, norm_cfg: dict | None = None) -> None:
        for name, value in (('width', width), ('depth', depth)):
            require_count(f'{name} of PlainEncoder', value)
        self.width = self.low_level_channels = self.context_channels = width
        self.norm_cfg = norm_cfg or dict(type='BN')
        self.layer_names = tuple(f'stage1.{index}' for index in range(depth))

    def build_stem(self) -> nn.Module:
        """Build nothing: the first layer reads the image."""
        return nn.Identity()

    def build_layer(self, index: int, dropout: float = 0.0) -> nn.Module:
        """Build layer ``index``; ``dropout`` is a context module's, which this encoder lacks."""
        channels = self.width if index else self.stem_channels
        return ConvModule(channels, self.width, 3, padding=1, norm_cfg=self.norm_cfg)

    def last_norm(self, layer: Any) -> _BatchNorm:
        """Return the layer's only normalisation."""
        return layer.norm

    def translate(self, key: str) -> str | None:
        """Refuse every key: there are no public weights."""
        raise KeyError(key)

    def to_config(self) -> dict[str, Any]:
        """Return the config of this encoder."""
        return dict(type='PlainEncoder', width=self.width, depth=len(self.layer_names))
