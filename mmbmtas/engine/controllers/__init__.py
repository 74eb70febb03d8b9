"""Controllers that learn an architecture distribution from rewards."""

from .budget import Budget, Paths
from .learner import PolicyLearner, check_qualities
from .reinforce import Baseline, Reward, Schedule, policy_loss

__all__ = [
    'Baseline',
    'Budget',
    'Paths',
    'PolicyLearner',
    'Reward',
    'Schedule',
    'check_qualities',
    'policy_loss',
]
