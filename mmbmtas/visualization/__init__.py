from .contact_sheet import Column, draw_contact_sheet
from .label_maps import Legend, describe_colours, draw_label
from .local_backend import LocalVisBackend
from .visualizer import MultiTaskVisualizer, sample_columns, sample_image, sheet_name

__all__ = [
    'Column',
    'Legend',
    'LocalVisBackend',
    'MultiTaskVisualizer',
    'describe_colours',
    'draw_contact_sheet',
    'draw_label',
    'sample_columns',
    'sample_image',
    'sheet_name',
]
