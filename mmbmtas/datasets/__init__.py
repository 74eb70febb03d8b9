from . import transforms
from .base import MultiTaskDataset
from .nyudv2 import NYUDv2MT
from .pascal_context import PascalContextMT

__all__ = ['MultiTaskDataset', 'NYUDv2MT', 'PascalContextMT', 'transforms']
