"""What learns an architecture distribution from rewards."""

from .budget import Budget
from .reinforce import Baseline, Reward, Schedule, policy_loss

__all__ = ['Baseline', 'Budget', 'Reward', 'Schedule', 'policy_loss']
