"""Compute the distribution of the number of copies of each layer, for costs not linear in it.

Shapes are those of :mod:`mmbmtas.cost.expectation`.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import factorial

import numpy as np
import torch
from torch import Tensor

from mmbmtas.cost.expectation import agreement, check_costs, check_probs
from mmbmtas.devices import to_device

MAX_TASKS_COUNTED = 10


def expected_cost(probs: Tensor, costs: Tensor | Sequence) -> Tensor:
    """Return the exact expected cost, for costs that depend on the number of copies in any way.

    ``E[cost] = sum_l sum_g costs[l, g - 1] * P(g groups in layer l)``, see
    :func:`group_count_probs`. With ``costs[l, g - 1] = g * madds[l]`` it is
    :func:`~mmbmtas.cost.expectation.expected_madds`.

    Args:
        probs: Probabilities, shape (L, T, C), at most 10 tasks; differentiable.
        costs: Cost of 1 to T copies of each layer together, shape (L, T), in any unit. The resource
            loss takes milliseconds.

    Returns:
        The cost, 0-d, in the unit of ``costs`` and the type of ``probs``, on the device of
        ``probs``.

    Raises:
        ValueError: If the shapes don't fit, a number is negative or not finite, or the
            probabilities of a task in a layer don't sum to 1.

    Example:
        >>> expected_cost(torch.full((1, 2, 2), 0.5), [[10.0, 12.0]])  # half of the time both agree
        tensor(11.)
    """
    check_probs(probs, MAX_TASKS_COUNTED)
    table = check_costs(costs, (tuple(probs.shape[:2]),), probs.device)
    return (group_count_probs(probs) * table).sum().to(probs.dtype)


def group_count_probs(probs: Tensor) -> Tensor:
    """Return the exact probability of each number of groups in each layer.

    Let ``A(S)`` be the probability that the tasks of ``S`` agree up to and including the layer.
    The groups of a partition ``m`` are disjoint sets of independent tasks. The probability of
    agreeing within each group is therefore ``prod_{S in m} A(S)``. It is also the
    sum, over the partitions ``k`` that refine ``m``, of the probabilities of being grouped exactly
    as ``k``. Moebius inversion solves for these. Its function is ``(-1)^(n-1) (n-1)!`` for each
    group of ``m`` that ``k`` splits into ``n`` parts. Of the splits of ``s`` tasks, ``{s, n}`` have
    ``n`` parts (Stirling's number of the second kind). With ``x`` counting the groups of ``k``::

        E[x^groups] = sum_m prod_{S in m} A(S) * phi_|S|(x)
        phi_s(x)    = sum_n {s, n} * (-1)^(n-1) * (n-1)! * x^n

    where ``m`` runs over all partitions of the tasks. (``phi_s`` is the cumulant of order ``s`` of
    a variable that is 1 with probability ``x``, else 0.) The coefficients of this polynomial are
    the probabilities. The sum is built up over sets ``R`` of the tasks before ``t``, the group of
    ``t`` first::

        F({t} + R) = sum_{Q in R} A({t} + Q) * phi_{|Q| + 1}(x) * F(R - Q),  F(empty) = 1

    ``F(R)`` is the polynomial for the groups of ``R``. The sum takes ``O(L * 3^T * T)`` steps. Its
    terms alternate in sign and cancel, so it is computed in float64. Its error is then up to 1e-9
    for 8 tasks and 1e-6 for 10, the maximum.

    Args:
        probs: Probabilities, shape (L, T, C), at most 10 tasks; differentiable.

    Returns:
        Shape (L, T), in float64: at position ``g - 1`` the probability of ``g`` groups.

    Raises:
        ValueError: As for :func:`expected_cost`.
    """
    check_probs(probs, MAX_TASKS_COUNTED)
    num_layers, num_tasks, _ = probs.shape
    agreed = agreement(probs.double()).cumprod(dim=0)
    splits = _split_polynomials_on(num_tasks, probs.device)
    grouped = torch.zeros(num_layers, 1, num_tasks + 1, dtype=torch.float64, device=probs.device)
    grouped[:, 0, 0] = 1
    for task in range(num_tasks):
        sets, mates, sizes = _mates_on(task, task == num_tasks - 1, probs.device)
        joined = agreed[:, (1 << task) - 1 + mates]
        # (L, sets before the task, size of its group - 1, T + 1): the rest, that group added.
        added = torch.einsum('lrg,sgh->lrsh', grouped, splits[: task + 1])
        terms = joined[..., None] * added[:, sets - mates, sizes]
        new = torch.zeros_like(grouped).index_add(1, sets, terms)
        grouped = torch.cat([grouped, new], dim=1)
    return grouped[:, -1, 1:]


@lru_cache
@torch.inference_mode(False)
def _mates_on(task: int, complete: bool, device: torch.device) -> tuple[Tensor, ...]:
    """Return :func:`_mates` on a device."""
    return tuple(to_device(torch.as_tensor(rows), device) for rows in _mates(task, complete))


@lru_cache
@torch.inference_mode(False)
def _split_polynomials_on(num_tasks: int, device: torch.device) -> Tensor:
    """Return :func:`_split_polynomials` on a device."""
    return to_device(torch.as_tensor(_split_polynomials(num_tasks)), device)


@lru_cache
def _mates(task: int, complete: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List which of the tasks before a task can be in its group, as bit masks.

    Args:
        task: The task.
        complete: Whether to list only the set of all tasks before it.

    Returns:
        Three lists with one entry per pair: a set of tasks, a subset of it that is in the task's
        group, and the subset's size.
    """
    sets, mates, sizes = np.zeros((3, 1), dtype=np.int64)
    for other in range(task):
        bit = 1 << other
        absent = [] if complete else [(sets, mates, sizes)]
        present = [(sets + bit, mates, sizes), (sets + bit, mates + bit, sizes + 1)]
        sets, mates, sizes = map(np.concatenate, zip(*absent, *present, strict=True))
    return sets, mates, sizes


@lru_cache
def _split_polynomials(num_tasks: int) -> np.ndarray:
    """Return multiplication by ``phi_s`` as matrices on rows of coefficients, (T, T + 1, T + 1)."""
    stirling = np.zeros((num_tasks + 1, num_tasks + 1))
    stirling[0, 0] = 1
    matrices = np.zeros((num_tasks, num_tasks + 1, num_tasks + 1))
    for size in range(1, num_tasks + 1):
        for parts in range(1, size + 1):
            stirling[size, parts] = (
                parts * stirling[size - 1, parts] + stirling[size - 1, parts - 1]
            )
            value = stirling[size, parts] * (-1) ** (parts - 1) * factorial(parts - 1)
            matrices[size - 1] += value * np.eye(num_tasks + 1, k=parts)
    return matrices
