"""What learns an architecture distribution from rewards."""

from .reinforce import Baseline, Reward, Schedule, policy_loss

__all__ = ['Baseline', 'Reward', 'Schedule', 'policy_loss']
