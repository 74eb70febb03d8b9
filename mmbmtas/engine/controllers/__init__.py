"""Controllers that learn an architecture distribution from rewards."""

from .budget import Budget, Paths
from .reinforce import Baseline, Reward, Schedule, policy_loss

__all__ = ['Baseline', 'Budget', 'Paths', 'Reward', 'Schedule', 'policy_loss']
