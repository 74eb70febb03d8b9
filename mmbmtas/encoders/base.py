"""The interface of searchable backbones: stem, layers, and names in checkpoints."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mmbmtas.cost.madds import ModuleCost, forward_cost
from mmbmtas.structures.paths import Candidate

from .candidates import Choices

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
        largest_decisions: Decisions between candidates that a warm-up sets to the largest value,
            where it averages the others.
    """

    layer_names: tuple[str, ...]
    norm_cfg: dict[str, Any]
    stem_channels: int
    low_level_index: int
    low_level_channels: int
    context_channels: int
    largest_decisions: Collection[str] = ()

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

    @property
    def num_searched(self) -> int:
        """Number of layers that a path chooses in: all but the context module."""
        return self.num_layers - 1

    def candidates(self, index: int) -> tuple[Candidate, ...]:
        """Return what a path may choose in a layer, by default the layer as it is.

        Args:
            index: Position in ``layer_names``, of a searched layer.

        Returns:
            A JSON object for each candidate, with a value for each decision, see
            :mod:`.candidates`.
        """
        return ({'layer': self.layer_names[index]},)

    def build_candidate(self, index: int, candidate: int) -> nn.Module:
        """Build one copy of a candidate of a layer.

        Args:
            index: Position in ``layer_names``, of a searched layer.
            candidate: Position in :meth:`candidates`.
        """
        return self.build_layer(index)

    def build_collapsed(self, index: int) -> Choices | None:
        """Build all candidates of a layer with common weights; None where that is not known.

        Args:
            index: Position in ``layer_names``, of a searched layer.
        """
        return None

    def measure_candidates(self, shape: tuple[int, int]) -> list[list[ModuleCost]]:
        """Measure what every candidate of every searched layer costs.

        Args:
            shape: Height and width of the image in pixels.
        """
        x = torch.empty(1, 3, *shape, device='meta')
        with torch.device('meta'):
            x, _ = forward_cost(self.build_stem(), x)
            costs = []
            for index in range(self.num_searched):
                found = [
                    forward_cost(self.build_candidate(index, candidate), x)
                    for candidate in range(len(self.candidates(index)))
                ]
                costs.append([cost for _, cost in found])
                x = found[0][0]
        return costs

    def out_channels(self, index: int) -> int:
        """Channels of a layer's output.

        Args:
            index: Position in ``layer_names``.
        """
        return self._shapes[index][0]

    @cached_property
    def _shapes(self) -> list[torch.Size]:
        return self.output_shapes((_SIDE, _SIDE))

    def output_shapes(self, shape: tuple[int, int]) -> list[torch.Size]:
        """Return ``(channels, H, W)`` of every layer's output, by a pass without computation.

        Args:
            shape: Height and width of the image in pixels.
        """
        with torch.device('meta'):
            parts = [self.build_stem(), *map(self.build_layer, range(self.num_layers))]
        x = torch.empty(1, 3, *shape, device='meta')
        shapes = []
        for part in parts:
            x = part.eval()(x)
            shapes.append(x.shape[1:])
        return shapes[1:]

    @property
    def low_level_and_last(self) -> tuple[int, int]:
        """The layers whose outputs feed most decoders."""
        return self.low_level_index, self.num_layers - 1

    @property
    def taps(self) -> tuple[int, ...]:
        """The layers whose outputs decoders of several levels read, from large to small.

        The low-level layer is the first, the last layer the last; of each resolution between, it is
        the last layer of that resolution.
        """
        levels = self._levels
        first, last = self.low_level_and_last
        between = (
            index
            for index in range(first + 1, last)
            if levels[first] < levels[index] < levels[index + 1]
        )
        return (first, *between, last)

    @property
    def _levels(self) -> list[int]:
        """A number for each layer's output that grows where the resolution falls."""
        return [-shape[1] for shape in self._shapes]

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
