"""Costs of paths of several domains that share nodes, of given paths and in expectation.

Shapes: ``L`` layers, ``D`` domains, ``C`` candidates. ``costs[l, c]`` is what candidate ``c`` of
layer ``l`` costs, in any unit; layers with fewer candidates are padded, with probability 0. All
domains choose independently.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmbmtas.cost.expectation import check_costs, check_probs
from mmbmtas.errors import InputError
from mmbmtas.structures import TaskGrouping


@dataclass(frozen=True)
class PathCosts:
    """What paths cost, counted in four ways.

    Attributes:
        per_domain: Of each domain's path, run alone.
        sum: Every domain on an image of its own.
        union: Each node that a path passes once. It is exact for parameters, and a lower bound of
            multiply-adds, since a node runs again for each input.
        prefix: All domains on the same image, where equal beginnings run once, as in a tree.
    """

    per_domain: tuple[float, ...]
    sum: float
    union: float
    prefix: float


def path_costs(routing: Tensor | Sequence, costs: Tensor | Sequence) -> PathCosts:
    """Return what some paths cost.

    Args:
        routing: Each domain's candidate in every layer, whole numbers of shape (D, L).
        costs: Cost of each candidate, shape (L, C).

    Raises:
        InputError: If shapes don't fit, a candidate does not exist, or a cost is negative or not
            finite.

    Example:
        >>> path_costs([[0, 1, 2], [0, 1, 0]], [[4, 2, 1], [3, 5, 0], [2, 2, 0]])
        PathCosts(per_domain=(9.0, 11.0), sum=20.0, union=11.0, prefix=11.0)
    """
    paths = torch.as_tensor(routing)
    table = torch.as_tensor(costs, dtype=torch.float64).cpu()
    if paths.dim() != 2 or 0 in paths.shape or paths.is_floating_point():
        raise InputError(
            f'routings are {paths.dtype} of shape {tuple(paths.shape)}, expected whole numbers of '
            'shape (domains, layers)'
        )
    if table.dim() != 2 or len(table) != paths.shape[1]:
        raise InputError(
            f'costs have shape {tuple(table.shape)}, expected ({paths.shape[1]}, candidates)'
        )
    check_costs(table, [tuple(table.shape)], table.device)
    lowest, highest = map(int, paths.aminmax())
    if lowest < 0 or highest >= table.shape[1]:
        wrong = lowest if lowest < 0 else highest
        raise InputError(f'candidate {wrong} of a path: expected 0 to {table.shape[1] - 1}')
    rows = [[float(costs[c]) for costs, c in zip(table, path, strict=True)] for path in paths]
    union = prefix = 0.0
    together = [0] * len(rows)
    for layer, candidates in enumerate(paths.T.tolist()):
        together = [*TaskGrouping.from_labels(zip(together, candidates, strict=True)).labels]
        passed = [row[layer] for row in rows]
        union += sum(dict(zip(candidates, passed, strict=True)).values())
        prefix += sum(dict(zip(together, passed, strict=True)).values())
    per_domain = tuple(map(sum, rows))
    return PathCosts(per_domain, sum(per_domain), union, prefix)


def expected_sum(probs: Tensor, costs: Tensor | Sequence) -> Tensor:
    """Return the expected cost of all domains, each on an image of its own.

    This is ``sum_l sum_d sum_c probs[l, d, c] costs[l, c]``.

    Args:
        probs: Probabilities, shape (L, D, C); differentiable.
        costs: Cost of each candidate, shape (L, C).

    Returns:
        The expectation, 0-d, float64, on the device of ``probs``.

    Raises:
        InputError: If shapes don't fit, a number is negative or not finite, or the probabilities
            of a domain in a layer don't sum to 1.
    """
    exact, table = _checked(probs, costs)
    return (exact * table[:, None]).sum()


def expected_union(probs: Tensor, costs: Tensor | Sequence) -> Tensor:
    """Return the expected cost of the nodes that at least one domain passes, each counted once.

    The domains are independent, so a node is missed by all of them with the product of the
    probabilities to miss it::

        E[union] = sum_l sum_c costs[l, c] * (1 - prod_d (1 - probs[l, d, c]))

    It takes O(L D C) steps, and is ours: nothing is published that asks domains to share.

    Args:
        probs: As for :func:`expected_sum`.
        costs: As for :func:`expected_sum`.

    Returns:
        As :func:`expected_sum`.

    Raises:
        InputError: As :func:`expected_sum`.

    Example:
        >>> expected_union(torch.full((1, 2, 2), 0.5), [[10.0, 10.0]])  # half of the time they part
        tensor(15., dtype=torch.float64)
    """
    exact, table = _checked(probs, costs)
    return (table * (1 - (1 - exact).prod(dim=1))).sum()


def _checked(probs: Tensor, costs: Tensor | Sequence) -> tuple[Tensor, Tensor]:
    """Validate probabilities and costs; return both as float64 on the same device."""
    check_probs(probs)
    num_layers, _, num_candidates = probs.shape
    table = check_costs(costs, ((num_layers, num_candidates),), probs.device)
    return probs.double(), table
