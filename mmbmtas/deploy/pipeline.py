"""The steps of a test pipeline that an exported graph can also perform."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.registry import TRANSFORMS, find_type

from .graph import Padding

_SIZES = ((37, 53), (48, 16), (5, 3))
"""Heights and widths of the images to try."""


def padding_of(
    transforms: Sequence[Any], network_input: Callable[[NDArray[np.uint8]], NDArray]
) -> Padding | None:
    """Return how a test pipeline pads images, None if it leaves them as they are.

    Args:
        transforms: The pipeline's transforms.
        network_input: From a BGR image ``(H, W, 3)`` to what the pipeline makes of it.

    Raises:
        InputError: The pipeline does anything else to images; names its transforms.
    """
    kind: Any = find_type(TRANSFORMS, 'mmbmtas.PadToSize')
    pads = [transform for transform in transforms if isinstance(transform, kind)]
    padding = Padding(pads[0].size, pads[0].divisor) if len(pads) == 1 else None
    for seed, size in enumerate(_SIZES):
        image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        expected = image if padding is None else padding.pad(image)
        if not np.array_equal(network_input(image), expected):
            names = ', '.join(type(transform).__name__ for transform in transforms)
            raise InputError(
                f'the test pipeline ({names}) does more to images than a PadToSize does, and an '
                'exported network cannot do that: leave the other steps out of '
                'test_dataloader.dataset.pipeline'
            )
    return padding
