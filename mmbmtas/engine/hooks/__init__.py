"""Hooks of the search, and of all training."""

from .architecture_hooks import ArchitectureExportHook, ArchitectureLoggerHook
from .checkpoint_hook import CheckpointHook
from .failure_hooks import CollapseHook, NonFiniteGradientHook
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
    'CheckpointHook',
    'CollapseHook',
    'MultiTaskVisualizationHook',
    'NonFiniteGradientHook',
    'OptimizerStateResetHook',
    'SearchBatchNormHook',
    'SearchParamSchedulerHook',
    'TemperatureHook',
]
