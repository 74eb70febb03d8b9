"""One reader for each kind of file: images, label images, arrays, MATLAB files, lists of ids.

Data sets, their check and cache, the evaluation of edges, and inference all use these readers, so a
file means the same everywhere. Each reader returns an array (or ids), or raises one error that
names the file and its fault.
"""

from .arrays import mat_variables, plane, read_mat, read_npy
from .faults import RangeError, SizeError
from .hdf5 import mat73_shape, mat73_variables, read_mat73_page
from .id_lists import read_id_list, read_text
from .images import (
    as_bgr,
    as_mask,
    is_turned,
    read_colour_normals,
    read_grey,
    read_image,
    read_index_image,
    read_mask,
    read_mask_values,
    read_stored_values,
)
from .rows import read_rows

__all__ = [
    'RangeError',
    'SizeError',
    'as_bgr',
    'as_mask',
    'is_turned',
    'mat73_shape',
    'mat73_variables',
    'mat_variables',
    'plane',
    'read_colour_normals',
    'read_grey',
    'read_id_list',
    'read_image',
    'read_index_image',
    'read_mask',
    'read_mask_values',
    'read_mat',
    'read_mat73_page',
    'read_npy',
    'read_rows',
    'read_stored_values',
    'read_text',
]
