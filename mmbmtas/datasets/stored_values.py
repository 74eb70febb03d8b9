"""Checks of stored values that loading would correct or overlook."""

import numpy as np

from mmbmtas.reading import RangeError, read_mask_values, read_mat, read_npy

_NORMALS_TOLERANCE = 1e-3
_DEEPEST = 100  # metres; the median depth of a room is a few, in other units hundreds or more


def check_edges(path: str) -> None:
    """A mask holds 0 and 1, or 0 and another number."""
    values, highest = read_mask_values(path)
    allowed = (0, 1) if values.max(initial=0) <= 1 else (0, highest)
    wrong = values[~np.isin(values, allowed)]
    if wrong.size:
        raise RangeError(f'{path}: expected edges of 0 and 1, or of 0 and 255, found {wrong[0]}')


def check_normals(path: str) -> None:
    """Components lie in [-1, 1]; NaN stands for an unknown normal, as zero does."""
    if path.endswith('.npy'):
        furthest = np.nanmax(np.abs(read_npy(path)), initial=0)
        if furthest > 1 + _NORMALS_TOLERANCE:
            raise RangeError(f'{path}: expected normals in [-1, 1], found {furthest:g}')


def check_depth(path: str) -> None:
    """Depth is finite and not negative; NaN and 0 stand for unknown depth."""
    depth = read_mat(path, 'depth') if path.endswith('.mat') else read_npy(path)
    wrong = depth[(depth < 0) | np.isinf(depth)]
    if wrong.size:
        raise RangeError(
            f'{path}: expected depth of 0 or more metres, or NaN, found {wrong[0]:g} '
            f'({wrong.size} such pixels)'
        )
    require_metres(path, depth, 'divide by 1000')


def require_metres(path: str, depth: np.ndarray, remedy: str) -> None:
    """Refuse depth that is in other units than metres by its median.

    Args:
        path: Its file.
        depth: Depth, 0 or NaN where it is unknown.
        remedy: What to do about millimetres, for the message.

    Raises:
        RangeError: The median is above 100.
    """
    known = depth[depth > 0]
    if known.size and (middle := np.median(known)) > _DEEPEST:
        raise RangeError(
            f'{path}: expected depth in metres, found a median of {middle:g}: are these '
            f'millimetres? Then {remedy}'
        )
