"""Boundaries between objects that annotators have painted with gaps between them."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mmbmtas.structures.boundaries import label_boundaries, thin

GAP = 10
"""Pixels up to which an unlabelled strip is a gap between objects rather than a region."""


def region_boundaries(regions: NDArray[np.integer], gap: int = GAP) -> NDArray[np.bool_]:
    """Draw one thin line between each two regions, also where an unlabelled gap separates them.

    Args:
        regions: A number for each region, 0 where nothing is labelled, ``(H, W)``.
        gap: Unlabelled strips up to this wide are divided between the regions beside them. What
            is wider is a region of its own.

    Returns:
        ``(H, W)``, thinned.
    """
    unlabelled = regions == 0
    if unlabelled.all() or not unlabelled.any():
        return thin(label_boundaries(regions))
    # What a square of gap + 1 pixels fits into is wider; outside the image counts as unlabelled.
    square = np.ones((gap + 1, gap + 1), np.uint8)
    border = gap + 1
    padded = np.pad(unlabelled.astype(np.uint8), border, constant_values=1)
    wide = cv2.morphologyEx(padded, cv2.MORPH_OPEN, square)[border:-border, border:-border] > 0
    narrow = unlabelled & ~wide
    rows, columns = ndimage.distance_transform_edt(
        unlabelled, return_distances=False, return_indices=True
    )
    return thin(label_boundaries(np.where(narrow, regions[rows, columns], regions)))
