from .edges import DeriveEdges
from .folder import LoadFolderLabels
from .formatting import IgnoreEmptyParts, PackMultiTaskInputs
from .geometry import (
    PadToSize,
    RandomCropSample,
    RandomFlipSample,
    RandomScale,
    ResizeSample,
)
from .loading import LoadNYUDv2Labels, LoadPascalContextLabels, LoadSampleImage
from .view import ViewImage

__all__ = [
    'DeriveEdges',
    'IgnoreEmptyParts',
    'LoadFolderLabels',
    'LoadNYUDv2Labels',
    'LoadPascalContextLabels',
    'LoadSampleImage',
    'PackMultiTaskInputs',
    'PadToSize',
    'RandomCropSample',
    'RandomFlipSample',
    'RandomScale',
    'ResizeSample',
    'ViewImage',
]
