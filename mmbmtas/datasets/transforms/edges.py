"""Edges between the regions of a label map, one pixel wide."""

from typing import Literal

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmbmtas.errors import InputError
from mmbmtas.registry import TRANSFORMS

from .labels import add_label

# Bit of each neighbour: east 1, north-east 2, and so on against the clock.
_NEIGHBOUR_BITS = np.array([[8, 4, 2], [16, 0, 1], [32, 64, 128]], np.float32)


def _removal_tables() -> tuple[np.ndarray, np.ndarray]:
    """1 for each neighbourhood whose pixel goes, in either sub-iteration of Guo and Hall."""
    ring = ((np.arange(256) >> np.arange(8)[:, None]) & 1).astype(bool)
    # Pairs (i, i + 1) starting at each of the four sides, and the neighbour before each pair.
    sides, corners, next_sides = ring[0::2], ring[1::2], np.roll(ring[0::2], -1, axis=0)
    crossings = (~sides & (corners | next_sides)).sum(0)
    fewest = np.minimum((sides | corners).sum(0), (corners | next_sides).sum(0))
    removable = (crossings == 1) & (fewest >= 2) & (fewest <= 3)
    east, north_east, north, north_west, west, south_west, south, south_east = ring
    first = removable & ~((north_east | north | ~south_east) & east)
    second = removable & ~((south_west | south | ~north_west) & west)
    return first.astype(np.uint8), second.astype(np.uint8)


_REMOVAL_TABLES = _removal_tables()


def thin(mask: np.ndarray) -> np.ndarray:
    """Thin a mask to lines one pixel wide (Guo and Hall 1989, two sub-iterations).

    The result is that of :func:`skimage.morphology.thin`, in a fraction of its time, which was the
    larger part of loading a training sample.

    Args:
        mask: ``(H, W)``; non-zero is foreground.

    Returns:
        uint8, ``(H, W)``, 0 or 1.
    """
    lines = (mask != 0).astype(np.uint8)
    changed = True
    while changed:
        changed = False
        for table in _REMOVAL_TABLES:
            around = cv2.filter2D(lines, -1, _NEIGHBOUR_BITS, borderType=cv2.BORDER_CONSTANT)
            removed = cv2.LUT(around, table) & lines
            if removed.any():
                lines -= removed
                changed = True
    return lines


def laplacian_edges(label_map: np.ndarray) -> np.ndarray:
    """Edges to train on: where the Laplacian of the label map is not zero, thinned.

    Args:
        label_map: Whole numbers of any dtype below 2**22, ``(H, W)``.

    Returns:
        uint8, ``(H, W)``, 0 or 1.
    """
    # float32 holds these whole numbers exactly, so that the test for zero is exact as well.
    response = cv2.Laplacian(
        label_map.astype(np.float32), cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REFLECT_101
    )
    return thin(response)


def boundary_edges(label_map: np.ndarray) -> np.ndarray:
    """Edges to evaluate against: where a label differs from the next ones, thinned.

    The SEISM protocol's truth: a pixel is boundary where its label differs from that of the east,
    south or south-east neighbour; the last row looks east only, the last column south only.

    Args:
        label_map: ``(H, W)`` of any dtype.

    Returns:
        uint8, ``(H, W)``, 0 or 1.
    """
    boundary = np.zeros(label_map.shape, bool)
    boundary[:, :-1] |= label_map[:, :-1] != label_map[:, 1:]
    boundary[:-1] |= label_map[:-1] != label_map[1:]
    boundary[:-1, :-1] |= label_map[:-1, :-1] != label_map[1:, 1:]
    return thin(boundary)


@TRANSFORMS.register_module()
class DeriveEdges(BaseTransform):
    """Derive the edge label of PASCAL-Context from its 459-class label map.

    Takes ``label_map`` out of the sample and adds ``gt_edge``; does nothing where the sample has no
    label map. It stands after :class:`ResizeSample` (the search derives edges at the reduced size)
    and before :class:`RandomScale`, which scales the derived edges like every other label.

    Args:
        method: ``laplacian`` (training label, :func:`laplacian_edges`) or ``boundary`` (truth of
            the evaluation, :func:`boundary_edges`).
        keep_label_map: Whether to keep the label map as ``gt_label_map``, from which ``OdsF`` of
            PASCAL-Context derives its truth. For evaluation only: padding would add class 255.

    Raises:
        ValueError: If the method is unknown.
    """

    def __init__(
        self,
        method: Literal['laplacian', 'boundary'] = 'laplacian',
        keep_label_map: bool = False,
    ) -> None:
        methods = {'laplacian': laplacian_edges, 'boundary': boundary_edges}
        if method not in methods:
            raise InputError(f"method must be 'laplacian' or 'boundary', got {method!r}")
        self.method = method
        self.keep_label_map = keep_label_map
        self._derive = methods[method]

    def transform(self, results: dict) -> dict:
        """Replace the label map by the edges."""
        if 'label_map' in results:
            label_map = results.pop('label_map')
            add_label(results, 'edge', self._derive(label_map))
            if self.keep_label_map:
                add_label(results, 'label_map', label_map)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(method={self.method!r}, keep_label_map={self.keep_label_map})'
        )
