"""Optimiser wrappers and their constructors."""

from .amp import CpuAmpOptimWrapper
from .jacobian import (
    AmpJacobianOptimWrapper,
    CpuAmpJacobianOptimWrapper,
    JacobianOptimWrapper,
)
from .search_constructor import SearchOptimWrapperConstructor
from .shared_lr_constructor import SharedLrOptimWrapperConstructor

__all__ = [
    'AmpJacobianOptimWrapper',
    'CpuAmpJacobianOptimWrapper',
    'CpuAmpOptimWrapper',
    'JacobianOptimWrapper',
    'SearchOptimWrapperConstructor',
    'SharedLrOptimWrapperConstructor',
]
