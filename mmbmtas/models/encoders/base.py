"""What a backbone must say of itself to be searched: its stem, its layers, its checkpoint names."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

CONTEXT = 'context'
"""Name of the last encoder layer, the context module."""
RASPP = {'type': 'ContextModule', 'dilations': [1]}
"""The context module of mobile encoders, unless a config states another."""
ASPP = {'type': 'ContextModule', 'dilations': [1, 6, 12, 18]}
"""The context module of ResNets, unless a config states another."""

_SIDE = 64  # pixels of the image whose features' channels are looked at


class Encoder(ABC):
    """A backbone cut into a stem and an ordered list of layers (paper, section 3.1).

    The context module, R-ASPP or ASPP unless a config states another, is the last layer. A subclass
    builds one copy of any part on request, so that a supernet can hold several candidates of a
    layer and a branched network several branches, and translates the names of public ImageNet
    checkpoints.

    Attributes:
        layer_names: Names of the layers, context module last; layer ``l`` is ``layer_names[l]``.
            The layers of a stage are called ``STAGE.BLOCK``.
        norm_cfg: Config of the normalisations.
        stem_channels: Channels of the stem's output.
        low_level_index: The layer whose output, at stride 4, also feeds the decoders.
        low_level_channels: Channels of that output.
        context_channels: Channels of the last layer's output.
    """

    layer_names: tuple[str, ...]
    norm_cfg: dict[str, Any]
    stem_channels: int
    low_level_index: int
    low_level_channels: int
    context_channels: int

    @property
    def num_layers(self) -> int:
        """Number of layers that can branch, the context module among them."""
        return len(self.layer_names)

    @property
    def stages(self) -> tuple[range, ...]:
        """Positions of the layers of each stage; the context module is in none."""
        stages = [name.partition('.')[0] for name in self.layer_names if name != CONTEXT]
        starts = [i for i, stage in enumerate(stages) if i == 0 or stage != stages[i - 1]]
        ends = [*starts[1:], len(stages)]
        return tuple(range(start, end) for start, end in zip(starts, ends, strict=True))

    @abstractmethod
    def build_stem(self) -> nn.Module:
        """Build the part all tasks share: image ``(N, 3, H, W)`` to the first layer's input."""

    @abstractmethod
    def build_layer(self, index: int, dropout: float = 0.0) -> nn.Module:
        """Build one copy of layer ``index``.

        Args:
            index: Position in ``layer_names``.
            dropout: Dropout rate before the context module's projection; other layers have none.
        """

    def out_channels(self, index: int) -> int:
        """Channels of a layer's output.

        Args:
            index: Position in ``layer_names``.
        """
        return self._channels[index]

    @cached_property
    def _channels(self) -> list[int]:
        """Channels of every layer's output, as one pass without computation shows them."""
        with torch.device('meta'):
            parts = [self.build_stem(), *map(self.build_layer, range(self.num_layers))]
        x = torch.empty(1, 3, _SIDE, _SIDE, device='meta')
        channels = []
        for part in parts:
            x = part.eval()(x)
            channels.append(x.shape[1])
        return channels[1:]

    @abstractmethod
    def last_norm(self, layer: Any) -> nn.Module | None:
        """Return the normalisation that ends ``layer``: it is without affine in the supernet.

        None where a layer ends in something else, as blocks with a normalisation inside do.
        """

    @abstractmethod
    def translate(self, key: str) -> str | None:
        """Translate a checkpoint's key.

        Args:
            key: Key of an mmpretrain or torchvision state dict, without ``backbone.``.

        Returns:
            ``stem.<name>`` or ``layers.<l>.<name>``, ``None`` for what an encoder has no use for
            (classifiers).

        Raises:
            KeyError: The key belongs to no such backbone.
        """

    def translate_state_dict(
        self, state_dict: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], list[str]]:
        """Translate a whole state dict.

        Returns:
            The tensors under this encoder's names, and the keys that could not be translated.
        """
        translated, unknown = {}, []
        for key, value in state_dict.items():
            if key.startswith(('head.', 'neck.')):  # mmpretrain's classifier
                continue
            try:
                target = self.translate(key.removeprefix('backbone.'))
            except KeyError:
                unknown.append(key)
                continue
            if target is not None:
                translated[target] = value
        return translated, unknown

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """Return the config that builds this encoder, as it stands in ``architecture.json``."""
