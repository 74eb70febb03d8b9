"""The readers of :mod:`mmbmtas.reading`, under the name by which code of users imports them."""

from mmbmtas.reading import (
    RangeError,
    SizeError,
    read_image,
    read_index_image,
    read_mask,
    read_mat,
    read_npy,
)

__all__ = [
    'RangeError',
    'SizeError',
    'read_image',
    'read_index_image',
    'read_mask',
    'read_mat',
    'read_npy',
]
