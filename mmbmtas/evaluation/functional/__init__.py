"""The metrics as plain functions on numpy arrays: counts of one image, then the score of a split.

Every metric has two steps. The first turns one image into counts or sums (small arrays, integers
wherever possible). The second pools those of all images. Pooling adds integers, or floats with
:func:`math.fsum`. To the last digit, a score therefore does not depend on the order of the images
or on the number of processes.

A score over nothing (no valid pixel, or no positive pixel for average precision) is ``nan``, with a
``RuntimeWarning``.
"""

from mmbmtas.evaluation.functional.class_maps import class_iou, confusion_matrix, mean_iou
from mmbmtas.evaluation.functional.depth import MIN_DEPTH, depth_errors, depth_scores
from mmbmtas.evaluation.functional.edges import (
    EDGE_BINS,
    average_precision,
    edge_histogram,
    quantise,
)
from mmbmtas.evaluation.functional.gains import delta_m
from mmbmtas.evaluation.functional.normals import (
    ANGLE_BIN,
    ANGLE_SHARES,
    normal_angles,
    normal_errors,
    normal_scores,
    unit_vectors,
)
from mmbmtas.evaluation.functional.pooling import ErrorSums, nan_with_warning
from mmbmtas.evaluation.functional.saliency import (
    SALIENCY_THRESHOLDS,
    saliency_histogram,
    saliency_scores,
)

__all__ = [
    'ANGLE_BIN',
    'ANGLE_SHARES',
    'EDGE_BINS',
    'MIN_DEPTH',
    'SALIENCY_THRESHOLDS',
    'ErrorSums',
    'average_precision',
    'class_iou',
    'confusion_matrix',
    'delta_m',
    'depth_errors',
    'depth_scores',
    'edge_histogram',
    'mean_iou',
    'nan_with_warning',
    'normal_angles',
    'normal_errors',
    'normal_scores',
    'quantise',
    'saliency_histogram',
    'saliency_scores',
    'unit_vectors',
]
