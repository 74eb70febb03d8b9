"""The steps of a test pipeline that an exported graph can also perform."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.registry import TRANSFORMS, find_type

from .graph import Padding

_SIZES = ((37, 53), (48, 16), (5, 3))
"""Heights and widths of the images to try."""


def padding_of(
    transforms: Sequence[Any], network_input: Callable[[NDArray[np.uint8]], NDArray]
) -> Padding | None:
    """Return how a test pipeline scales and pads images, None if it leaves them as they are.

    Args:
        transforms: The pipeline's transforms.
        network_input: From a BGR image ``(H, W, 3)`` to what the pipeline makes of it.

    Raises:
        InputError: The pipeline does anything else to images; names its transforms.
    """
    pads, views = (_of_type(transforms, name) for name in ('PadToSize', 'ViewImage'))
    padding = Padding()
    if len(pads) == 1:
        padding = Padding(pads[0].size, pads[0].divisor)
    if len(views) == 1:
        scale = Fraction(str(views[0].scale_factor))
        padding = Padding(padding.size, padding.divisor, scale)
    for seed, size in enumerate(_SIZES):
        image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        if not _does(padding, image, network_input(image)):
            names = ', '.join(type(transform).__name__ for transform in transforms)
            raise InputError(
                f'the test pipeline ({names}) does more to images than a ViewImage (without '
                'flip) and a PadToSize do, and an exported network cannot do that: leave the '
                'other steps out of test_dataloader.dataset.pipeline'
            )
    return padding if pads or views else None


def _of_type(transforms: Sequence[Any], name: str) -> list[Any]:
    kind: Any = find_type(TRANSFORMS, f'mmbmtas.{name}')
    return [transform for transform in transforms if isinstance(transform, kind)]


def _does(padding: Padding, image: NDArray[np.uint8], found: NDArray) -> bool:
    """Tell whether an image becomes what a pipeline has made of it, but for rounding."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = padding.apply(pixels)[0][0].permute(1, 2, 0).numpy()
    # OpenCV scales in whole numbers.
    tolerance = 0 if padding.scale == 1 else 1
    return found.shape == expected.shape and bool(
        np.abs(found.astype(np.float32) - expected).max() <= tolerance
    )
