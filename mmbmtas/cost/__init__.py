"""Multiply-adds of modules and networks, and their expectation over architectures."""

from mmbmtas.cost.expectation import (
    MAX_TASKS,
    MAX_TASKS_RECURSIVE,
    expected_madds,
    recursive_expected_madds,
    unchecked,
)
from mmbmtas.cost.group_counts import MAX_TASKS_COUNTED, expected_cost, group_count_probs
from mmbmtas.cost.latency import LatencyTable
from mmbmtas.cost.madds import ModuleCost, count_madds
from mmbmtas.cost.network import NetworkCost, measure, with_cost
from mmbmtas.cost.path_latency import PathLatencyTable
from mmbmtas.cost.sampling import (
    count_groups,
    routed_cost,
    routed_madds,
    sampled_expected_cost,
    sampled_expected_madds,
)
from mmbmtas.cost.union import PathCosts, expected_sum, expected_union, path_costs

__all__ = [
    'MAX_TASKS',
    'MAX_TASKS_COUNTED',
    'MAX_TASKS_RECURSIVE',
    'LatencyTable',
    'ModuleCost',
    'NetworkCost',
    'PathCosts',
    'PathLatencyTable',
    'count_groups',
    'count_madds',
    'expected_cost',
    'expected_madds',
    'expected_sum',
    'expected_union',
    'group_count_probs',
    'measure',
    'path_costs',
    'recursive_expected_madds',
    'routed_cost',
    'routed_madds',
    'sampled_expected_cost',
    'sampled_expected_madds',
    'unchecked',
    'with_cost',
]
