"""Multiply-adds of modules and networks, and their expectation over architectures."""

from mmbmtas.cost.expectation import (
    MAX_TASKS,
    MAX_TASKS_RECURSIVE,
    expected_madds,
    recursive_expected_madds,
)
from mmbmtas.cost.madds import ModuleCost, count_madds
from mmbmtas.cost.network import NetworkCost, measure
from mmbmtas.cost.sampling import routed_madds, sampled_expected_madds

__all__ = [
    'MAX_TASKS',
    'MAX_TASKS_RECURSIVE',
    'ModuleCost',
    'NetworkCost',
    'count_madds',
    'expected_madds',
    'measure',
    'recursive_expected_madds',
    'routed_madds',
    'sampled_expected_madds',
]
