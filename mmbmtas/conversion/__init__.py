from .normals import Camera, normals_of_depth
from .nyudv2 import convert_nyudv2
from .regions import region_boundaries

__all__ = ['Camera', 'convert_nyudv2', 'normals_of_depth', 'region_boundaries']
