"""Compares an exported network with the trained one, on images of several sizes."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmbmtas.errors import InputError
from mmbmtas.models.decode_heads.outputs import Output, to_prediction

from .runtime import RunningNetwork

TOLERANCES = {'float32': 1e-4, 'float16': 1e-2}
"""Greatest difference that passes by precision, as a share of the output's range."""

Reference = Callable[[NDArray[np.uint8]], Mapping[str, Tensor]]
"""From a BGR image ``(H, W, 3)`` to the trained network's maps ``(channels, H, W)`` by task."""


def verify(
    exported: RunningNetwork,
    reference: Reference,
    shape: tuple[int, int],
) -> dict[tuple[int, int], dict[str, float]]:
    """Measure how far an exported network is from the trained one, on random images.

    The difference is the greatest one of any pixel, over the range of the output or its greatest
    absolute value, whichever is larger. Class ids are compared by the trained network's logits: how
    far the chosen class lies below the best. Unit vectors are compared at the length that the
    trained network's vectors have, since the direction of a short one means little.

    Args:
        exported: The exported network.
        reference: The trained network.
        shape: Height and width to begin with. Where sizes are free, two odd ones follow, and all
            are tried with a batch of two.

    Returns:
        The difference of each task at each size.
    """
    free = isinstance(exported.description['input']['shape'][0], str)
    height, width = shape
    sizes = [shape]
    if free:
        sizes += [(height // 2 | 1, width // 3 | 1), (height + 12 | 1, width * 2 // 3 | 1)]
    return {size: _differences(exported, reference, size, 1 + free) for size in sizes}


def require_close(
    differences: Mapping[tuple[int, int], Mapping[str, float]], tolerance: float
) -> None:
    """Refuse differences above a tolerance.

    Raises:
        InputError: One is; names task and size.
    """
    for (height, width), found in differences.items():
        for task, difference in found.items():
            if not difference <= tolerance:
                raise InputError(
                    f'the exported network differs from the trained one: {task} by '
                    f'{difference:.1e} of its range at {height} x {width}, expected at most '
                    f'{tolerance:.0e}. Nothing was written'
                )


def _differences(
    exported: RunningNetwork, reference: Reference, size: tuple[int, int], count: int
) -> dict[str, float]:
    images = [_draw_image(size, seed) for seed in range(count)]
    batch = np.stack([image[..., ::-1].transpose(2, 0, 1) for image in images])
    outputs = exported.run(batch)
    decided = exported.description['postprocess'] == 'decision'
    greatest: dict[str, float] = dict.fromkeys(outputs, 0.0)
    for index, image in enumerate(images):
        maps = reference(image)
        for task, entry in exported.description['tasks'].items():
            found = torch.from_numpy(outputs[task][index])
            kind = entry['output'] if decided else None
            difference = _difference(found, maps[task].cpu(), kind)
            greatest[task] = max(greatest[task], difference, key=_or_infinite)
    return greatest


def _or_infinite(value: float) -> float:
    return float('inf') if np.isnan(value) else value


def _difference(found: Tensor, maps: Tensor, decided: Output | None) -> float:
    """Return the difference of an output from what the maps ``(channels, H, W)`` say."""
    if decided == 'classes':
        chosen = maps.gather(0, found.long())
        return _share(maps.amax(dim=0, keepdim=True) - chosen, maps)
    if decided == 'normals':
        length = maps.norm(dim=0, keepdim=True)
        return _share(found * length - maps, maps)
    expected = maps if decided is None else to_prediction(decided, maps)
    return _share(found - expected, expected)


def _share(error: Tensor, values: Tensor) -> float:
    span = max(float(values.max() - values.min()), float(values.abs().max()))
    greatest = float(error.abs().max())
    return greatest / span if span else greatest


def _draw_image(size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Draw an image of slopes and noise, BGR ``(H, W, 3)``."""
    rng = np.random.default_rng(seed)
    down, across = (np.linspace(0, 1, side)[:, None] for side in size)
    slopes = down[:, :, None] * rng.random(3) + across[None] * rng.random(3)
    noise = rng.random((*size, 3))
    return np.rint((slopes / 2 + noise) / 2 * 255).astype(np.uint8)
