"""Multiply-adds of modules and networks, and their expectation over architectures."""

from mmbmtas.cost.expectation import expected_madds, recursive_expected_madds
from mmbmtas.cost.madds import ModuleCost, count_madds
from mmbmtas.cost.network import NetworkCost, measure

__all__ = [
    'ModuleCost',
    'NetworkCost',
    'count_madds',
    'expected_madds',
    'measure',
    'recursive_expected_madds',
]
