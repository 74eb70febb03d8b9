"""Losses of the tasks and of the architecture, and how the tasks' losses are balanced."""

from .balancing import ABDP, DynamicWeightAverage, GradNorm, LossBalancing, UncertaintyWeighting
from .resource_loss import ResourceLoss
from .task_losses import BalancedBCELoss, DepthL1Loss, NormalsL1Loss, TaskLoss

__all__ = [
    'ABDP',
    'BalancedBCELoss',
    'DepthL1Loss',
    'DynamicWeightAverage',
    'GradNorm',
    'LossBalancing',
    'NormalsL1Loss',
    'ResourceLoss',
    'TaskLoss',
    'UncertaintyWeighting',
]
