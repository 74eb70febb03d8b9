"""Optimiser wrappers and their constructors."""

from .amp import CpuAmpOptimWrapper
from .search_constructor import SearchOptimWrapperConstructor
from .shared_lr_constructor import SharedLrOptimWrapperConstructor

__all__ = [
    'CpuAmpOptimWrapper',
    'SearchOptimWrapperConstructor',
    'SharedLrOptimWrapperConstructor',
]
