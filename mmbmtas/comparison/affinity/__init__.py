"""The measurements of FAFS and BMN on trained networks."""

from .difficulty import image_error, measure_errors
from .features import load_single_network, measure_dissimilarities
from .images import image_loader

__all__ = [
    'image_error',
    'image_loader',
    'load_single_network',
    'measure_dissimilarities',
    'measure_errors',
]
