"""Losses of the tasks and of the architecture."""

from .resource_loss import ResourceLoss
from .task_losses import BalancedBCELoss, DepthL1Loss, NormalsL1Loss, TaskLoss

__all__ = ['BalancedBCELoss', 'DepthL1Loss', 'NormalsL1Loss', 'ResourceLoss', 'TaskLoss']
