"""What the trees of a distribution cost in expectation, for the log of a search."""

import torch
from torch import Tensor

from mmbmtas.cost import (
    MAX_TASKS,
    MAX_TASKS_COUNTED,
    LatencyTable,
    expected_cost,
    expected_madds,
    sampled_expected_cost,
    sampled_expected_madds,
)


def expected_madds_of(probs: Tensor, layer_madds: Tensor) -> float:
    """Return the expected cost, of too many tasks its estimate, without touching torch's noise."""
    probs = probs.detach().double().cpu()
    if probs.shape[1] <= MAX_TASKS:
        return float(expected_madds(probs, layer_madds))
    generator = torch.Generator().manual_seed(0)
    return float(sampled_expected_madds(probs, layer_madds, 16, generator))


def expected_latency_of(probs: Tensor, table: LatencyTable) -> float:
    """Return the expected milliseconds of a whole network, as :func:`expected_madds_of` does."""
    probs = probs.detach().double().cpu()
    if probs.shape[1] <= MAX_TASKS_COUNTED:
        return float(expected_cost(probs, table.layers_ms)) + table.fixed_ms
    generator = torch.Generator().manual_seed(0)
    expected = sampled_expected_cost(probs, table.layers_ms, generator=generator)
    return float(expected) + table.fixed_ms
