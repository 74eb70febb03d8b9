"""A multi-task network as one graph: from raw images to an output for each task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.model import ImgDataPreprocessor
from torch import Tensor, nn
from torch.nn import functional as F

from mmbmtas.errors import InputError
from mmbmtas.models.decode_heads.outputs import to_prediction
from mmbmtas.models.preprocessor import BatchPreprocessor
from mmbmtas.models.segmentors import MultiTaskEncoderDecoder

_PREPROCESSORS = (ImgDataPreprocessor, BatchPreprocessor)

PAD_VALUE = 128
"""Grey, with which ``PadToSize`` pads images."""


@dataclass(frozen=True)
class Padding:
    """How images are padded, as the transform ``PadToSize`` does it.

    Attributes:
        size: Least height and width.
        divisor: What height and width become multiples of.
    """

    size: tuple[int, int] = (1, 1)
    divisor: int = 1

    def around(self, height: Any, width: Any) -> tuple[Any, Any, Any, Any]:
        """Return the pixels on the left, right, top and bottom; traced sizes will do."""
        down, across = self._rest(height, self.size[0]), self._rest(width, self.size[1])
        left, top = across // 2, down // 2
        return left, across - left, top, down - top

    def _rest(self, now: Any, least: int) -> Any:
        # The larger of the two, without a comparison, which a trace would not hold.
        larger = (now + least + abs(now - least)) // 2
        return (larger + self.divisor - 1) // self.divisor * self.divisor - now

    def pad(self, image: np.ndarray) -> np.ndarray:
        """Pad an image ``(H, W, 3)``."""
        left, right, top, bottom = self.around(*image.shape[:2])
        sides = ((top, bottom), (left, right), (0, 0))
        return np.pad(image, sides, constant_values=PAD_VALUE)


class ImageNetwork(nn.Module):
    """A multi-task network that takes raw RGB images and gives tensors, to be traced.

    Args:
        network: The network, which keeps its weights and stays as it is.
        tasks: Whose outputs to give, in this order.
        padding: How to pad images, if at all; outputs are cropped to the image again.
        decide: Whether to give predictions in place of maps.

    Raises:
        InputError: The network's preprocessor is of a kind that is not known here, or a decoder
            does not say what its map is.
    """

    def __init__(
        self,
        network: MultiTaskEncoderDecoder,
        tasks: Sequence[str],
        padding: Padding | None = None,
        decide: bool = False,
    ) -> None:
        super().__init__()
        preprocessor = network.data_preprocessor
        if type(preprocessor) not in _PREPROCESSORS or preprocessor.pad_size_divisor != 1:
            raise InputError(
                f'model.data_preprocessor of type {type(preprocessor).__name__}: expected '
                'mmengine.ImgDataPreprocessor or mmbmtas.BatchPreprocessor with '
                'pad_size_divisor=1, whose normalisation can be exported; use PadToSize in the '
                'pipeline for padding'
            )
        for task in tasks:
            if not hasattr(network.decode_heads[task], 'output'):
                raise InputError(
                    f'decode_heads.{task}: {type(network.decode_heads[task]).__name__} cannot be '
                    'exported: it does not say what its output is'
                )
        self.network: Any = network
        self.tasks = tuple(tasks)
        self.padding = padding
        self.decide = decide

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map images to outputs.

        Args:
            image: RGB uint8, ``(N, 3, H, W)``.

        Returns:
            For each task its map, float32 ``(N, channels, H, W)``, or its prediction: classes
            ``(N, 1, H, W)``, uint8 where 256 values suffice, else int64; others float32. Tasks of
            whole images give logits or probabilities ``(N, classes)``.
        """
        x = image.float()
        if self.padding is None:
            maps = self.network.encode_decode(self._normalise(x))
            return tuple(self._finish(task, maps[task]) for task in self.tasks)
        height, width = image.shape[2:]
        left, right, top, bottom = self.padding.around(height, width)
        x = F.pad(x, (left, right, top, bottom), value=PAD_VALUE)
        maps = self.network.encode_decode(self._normalise(x))
        window = (..., slice(top, top + height), slice(left, left + width))
        return tuple(
            self._finish(task, x[window] if x.ndim == 4 else x)
            for task, x in ((task, maps[task]) for task in self.tasks)
        )

    def _normalise(self, x: Tensor) -> Tensor:
        """Do what the preprocessor does after it has converted BGR to what the network takes."""
        preprocessor = self.network.data_preprocessor
        if not preprocessor._channel_conversion:
            x = x.flip(1)  # the network takes BGR
        if not preprocessor._enable_normalize:
            return x
        return (x - preprocessor.mean) / preprocessor.std

    def _finish(self, task: str, maps: Tensor) -> Tensor:
        head = self.network.decode_heads[task]
        if not self.decide:
            return maps
        found = to_prediction(head.output, maps, dim=1)
        few = head.output == 'classes' and head.num_classes <= 256
        return found.to(torch.uint8) if few else found
