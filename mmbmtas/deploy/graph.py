"""A multi-task network as one graph: from raw images to an output for each task."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

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
    """How images are padded, as the transform ``PadToSize`` does it, scaled ones if need be.

    Attributes:
        size: Least height and width.
        divisor: What height and width become multiples of.
        scale: New size over old size before that, as the transform ``ViewImage`` has it. Images are
            scaled bilinearly; the transform also rounds the result to whole numbers.
    """

    size: tuple[int, int] = (1, 1)
    divisor: int = 1
    scale: Fraction = Fraction(1)

    def scaled(self, side: Any) -> Any:
        """Return a scaled side in pixels, at least one; a traced one will do."""
        over, under = self.scale.numerator, self.scale.denominator
        found = (2 * side * over + under) // (2 * under)
        return (found + 1 + abs(found - 1)) // 2  # the larger of it and 1, without a comparison

    def around(self, height: Any, width: Any) -> tuple[Any, Any, Any, Any]:
        """Return the pixels on the left, right, top and bottom; traced sizes will do."""
        down, across = self._rest(height, self.size[0]), self._rest(width, self.size[1])
        left, top = across // 2, down // 2
        return left, across - left, top, down - top

    def _rest(self, now: Any, least: int) -> Any:
        # The larger of the two, without a comparison, which a trace would not hold.
        larger = (now + least + abs(now - least)) // 2
        return (larger + self.divisor - 1) // self.divisor * self.divisor - now

    def apply(self, x: Tensor) -> tuple[Tensor, tuple[slice, slice]]:
        """Scale and pad images ``(N, 3, H, W)``; also return where the padded ones are images."""
        if self.scale != 1:
            sides = self.scaled(x.shape[2]), self.scaled(x.shape[3])
            x = F.interpolate(x, sides, mode='bilinear', align_corners=False)
        height, width = x.shape[2:]
        left, right, top, bottom = self.around(height, width)
        x = F.pad(x, (left, right, top, bottom), value=PAD_VALUE)
        return x, (slice(top, top + height), slice(left, left + width))

    def network_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width that a network sees of an image, without the padding."""
        return (self.scaled(shape[0]), self.scaled(shape[1])) if self.scale != 1 else shape

    def image_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width of the image of which a network sees these."""
        return round(shape[0] / self.scale), round(shape[1] / self.scale)


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
        x, window = self.padding.apply(x)
        maps = self.network.encode_decode(self._normalise(x))
        restored = {task: self._restore(maps[task], window, image.shape[2:]) for task in self.tasks}
        return tuple(self._finish(task, found) for task, found in restored.items())

    def _restore(self, maps: Tensor, window: tuple[slice, slice], size: Any) -> Tensor:
        """Bring maps of padded images to the images as they were; numbers of images stay."""
        if maps.ndim < 4:
            return maps
        rows, columns = window
        maps = maps[..., rows, columns]
        if self.padding is None or self.padding.scale == 1:
            return maps
        return F.interpolate(maps, size, mode='bilinear', align_corners=False)

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
