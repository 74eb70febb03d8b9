"""Edges between the regions of a label map, one pixel wide."""

from typing import Literal

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmbmtas.errors import InputError
from mmbmtas.registry import TRANSFORMS
from mmbmtas.structures.boundaries import label_boundaries, thin

from .labels import add_label


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
    return thin(response).astype(np.uint8)


def boundary_edges(label_map: np.ndarray) -> np.ndarray:
    """Edges to evaluate against: where a label differs from the next ones, thinned.

    The SEISM protocol's truth: a pixel is boundary where its label differs from that of the east,
    south or south-east neighbour; the last row looks east only, the last column south only.

    Args:
        label_map: ``(H, W)`` of any dtype.

    Returns:
        uint8, ``(H, W)``, 0 or 1.
    """
    return thin(label_boundaries(label_map)).astype(np.uint8)


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
