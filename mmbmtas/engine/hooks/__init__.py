"""Hooks of the search."""

from .architecture_hooks import ArchitectureExportHook, ArchitectureLoggerHook
from .search_hooks import (
    OptimizerStateResetHook,
    SearchBatchNormHook,
    SearchParamSchedulerHook,
    TemperatureHook,
)
from .visualization_hook import MultiTaskVisualizationHook

__all__ = [
    'ArchitectureExportHook',
    'ArchitectureLoggerHook',
    'MultiTaskVisualizationHook',
    'OptimizerStateResetHook',
    'SearchBatchNormHook',
    'SearchParamSchedulerHook',
    'TemperatureHook',
]
