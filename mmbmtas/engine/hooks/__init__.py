"""Hooks of the search."""

from .architecture_hooks import ArchitectureExportHook, ArchitectureLoggerHook
from .search_hooks import (
    OptimizerStateResetHook,
    SearchBatchNormHook,
    SearchParamSchedulerHook,
    TemperatureHook,
)

__all__ = [
    'ArchitectureExportHook',
    'ArchitectureLoggerHook',
    'OptimizerStateResetHook',
    'SearchBatchNormHook',
    'SearchParamSchedulerHook',
    'TemperatureHook',
]
