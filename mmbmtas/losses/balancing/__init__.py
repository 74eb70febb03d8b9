"""Weights of the tasks' losses that change while a network trains."""

from .abdp import ABDP
from .base import LossBalancing, build_loss_balancing, without_balancing
from .dynamic_weight_average import DynamicWeightAverage
from .grad_norm import GradNorm
from .parts import OTHER, carry_parts, losses_by_task, parts_of
from .uncertainty import UncertaintyWeighting

__all__ = [
    'ABDP',
    'OTHER',
    'DynamicWeightAverage',
    'GradNorm',
    'LossBalancing',
    'UncertaintyWeighting',
    'build_loss_balancing',
    'carry_parts',
    'losses_by_task',
    'parts_of',
    'without_balancing',
]
