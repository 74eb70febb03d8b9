from .normals import Camera, normals_of_depth
from .nyudv2 import convert_nyudv2
from .pascal_context import convert_pascal_context
from .regions import region_boundaries

__all__ = [
    'Camera',
    'convert_nyudv2',
    'convert_pascal_context',
    'normals_of_depth',
    'region_boundaries',
]
