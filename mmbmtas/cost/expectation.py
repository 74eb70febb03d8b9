"""Expected multiply-adds of an encoder whose routings are sampled from a distribution.

Shapes: ``L`` encoder layers, ``T`` tasks, ``C`` candidates in each layer. ``probs[l, t, c]`` is the
probability that task ``t`` takes candidate ``c`` in layer ``l``; all choices are independent. A
non-empty set ``S`` of tasks stands at position ``sum_{t in S} 2^t - 1`` of an axis of ``2^T - 1``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from math import factorial, inf, prod

import numpy as np
import torch
from torch import Tensor

from mmbmtas.devices import to_device
from mmbmtas.errors import InputError
from mmbmtas.structures import TaskGrouping, all_groupings

MAX_TASKS = 16
MAX_TASKS_RECURSIVE = 7

_trusting = ContextVar('trusting', default=False)


def expected_madds(probs: Tensor, madds: Tensor | Sequence) -> Tensor:
    """Return the exact expectation of the encoder's cost over sampled routings.

    This is the paper's resource loss (Eq. 5). The paper's recursion (Eq. 6) overestimates it; see
    :func:`recursive_expected_madds`. The layers are independent, so inclusion-exclusion over the
    non-empty sets ``S`` of tasks gives the expectation from the probability that the tasks of ``S``
    have agreed so far::

        E[groups at l] = sum_S (-1)^(|S|+1) * prod_{l' <= l} sum_c prod_{t in S} probs[l', t, c]
        E[cost]        = sum_l madds[l] * E[groups at l]

    If candidates differ in cost, the sum over ``c`` in layer ``l`` itself has weights
    ``madds[l, c]``. The sum takes ``O(L * 2^T * C)`` steps. Its terms alternate in sign and cancel,
    so it is computed in float64 for any input type.

    Args:
        probs: Probabilities, shape (L, T, C), at most 16 tasks; differentiable.
        madds: Cost of one copy of each layer, shape (L,), or of each candidate, shape (L, C), in
            any unit. The resource loss takes 10^9 multiply-adds.

    Returns:
        Expected cost of all copies that run, 0-d, in the unit of ``madds`` and the type of
        ``probs``, on the device of ``probs``.

    Raises:
        ValueError: If shapes don't fit, a number is negative or not finite, or the probabilities
            of a task in a layer don't sum to 1.

    Example:
        >>> expected_madds(torch.full((1, 2, 2), 0.5), [10.0])  # half of the time both agree
        tensor(15.)
    """
    costs = check_distribution(probs, madds, MAX_TASKS)
    exact = probs.double()
    agree = agreement(exact)
    signs = _signs_on(probs.shape[1], probs.device)
    if costs.dim() == 1:
        total = costs @ (agree.cumprod(dim=0) @ signs)
    else:
        agree_before = torch.cat([torch.ones_like(agree[:1]), agree[:-1]]).cumprod(dim=0)
        total = ((agree_before * agreement(exact, costs)) @ signs).sum()
    return total.to(probs.dtype)


def recursive_expected_madds(probs: Tensor, madds: Tensor | Sequence) -> Tensor:
    """Return the paper's approximation (Eq. 5 and 6), to reproduce its searches.

    The recursion runs over all partitions of the tasks. The probability of a partition ``k`` at
    layer ``l`` is the product of two: that layer ``l`` alone samples exactly ``k``, and that layer
    ``l - 1`` has a partition that ``k`` refines. The partition with all tasks apart is the
    exception: it gets the rest of 1.

    The result is not the expectation. If the tasks are grouped as {0,1}{2} and all three agree in
    the next layer, the grouping stays, but the recursion counts it as all apart. The result is
    therefore never less than :func:`expected_madds`, and equal for two tasks. Its gradient is
    shorter and has another direction.

    The probability of sampling exactly ``k`` follows by Moebius inversion over the partitions, from
    the probabilities of agreeing within the groups of each ``m`` that ``k`` refines.

    Args:
        probs: Probabilities, shape (L, T, C) with C = T, at most 7 tasks (877 partitions);
            differentiable.
        madds: Cost of one copy of each layer, shape (L,), in any unit.

    Returns:
        A number of the same form as that of :func:`expected_madds`.

    Raises:
        ValueError: As for :func:`expected_madds`, and if C differs from T.
    """
    costs = check_distribution(probs, madds, MAX_TASKS_RECURSIVE)
    if probs.shape[1] != probs.shape[2] or costs.dim() != 1:
        raise InputError(
            f'probabilities have shape {tuple(probs.shape)}, costs {tuple(costs.shape)}: the '
            "paper's recursion needs as many candidates as tasks, and one cost per layer"
        )
    agree = agreement(probs.double())
    sets, num_groups, moebius = _partitions_on(probs.shape[1], probs.device)
    padded = torch.cat([torch.ones_like(agree[:, :1]), agree], dim=1)
    exactly = padded[:, sets].prod(dim=2) @ moebius.T
    refines = (moebius != 0).double()
    grouping = exactly[0]
    expected_groups = [grouping @ num_groups]
    for exactly_here in exactly[1:]:
        kept = (exactly_here * (refines @ grouping))[:-1]
        grouping = torch.cat([kept, 1 - kept.sum(dim=0, keepdim=True)])
        expected_groups.append(grouping @ num_groups)
    return (costs @ torch.stack(expected_groups)).to(probs.dtype)


def agreement(probs: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum, over candidates, the products over each set of tasks.

    Each set joins a part of the first half of the tasks and a part of the second half. All sums are
    therefore one matrix product, and no array holds ``2^T * C`` numbers.

    Args:
        probs: Shape (L, T, C).
        weights: Weight of each candidate in the sum, shape (L, C).

    Returns:
        Shape (L, 2^T - 1); without weights, the probability that all tasks of a set agree.
    """
    half = probs.shape[1] // 2
    first, second = _subset_products(probs[:, :half]), _subset_products(probs[:, half:])
    if weights is not None:
        first = first * weights[:, None]
    return (second @ first.transpose(1, 2)).flatten(1)[:, 1:]


def _subset_products(probs: Tensor) -> Tensor:
    """Multiply over all sets of tasks, the empty set first: (L, T, C) to (L, 2^T, C)."""
    num_layers, num_tasks, num_candidates = probs.shape
    products = probs.new_ones(num_layers, 1, num_candidates)
    for task in range(num_tasks):
        products = torch.cat([products, products * probs[:, task : task + 1]], dim=1)
    return products


@lru_cache
def _signs(num_tasks: int) -> np.ndarray:
    """Return the signs of inclusion-exclusion, ``(-1)^(|S|+1)``, shape (2^T - 1,)."""
    signs = np.array([-1.0])
    for _ in range(num_tasks):
        signs = np.concatenate([signs, -signs])
    return signs[1:]


@lru_cache
@torch.inference_mode(False)
def _signs_on(num_tasks: int, device: torch.device) -> Tensor:
    """Return :func:`_signs` on a device."""
    return to_device(torch.as_tensor(_signs(num_tasks)), device)


@lru_cache
def _partitions(num_tasks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return tables over the ``K`` partitions of the tasks, all apart last.

    Returns:
        The groups of each partition as bit masks, shape (K, T), padded with the empty set; its
        number of groups, shape (K,); and the Moebius function, shape (K, K), which is not zero if
        the row's partition refines the column's.
    """
    groupings = list(all_groupings(num_tasks))
    position = {grouping: k for k, grouping in enumerate(groupings)}
    sets = np.zeros((len(groupings), num_tasks), dtype=np.int64)
    moebius = np.zeros((len(groupings), len(groupings)))
    for k, grouping in enumerate(groupings):
        for g, group in enumerate(grouping.groups):
            sets[k, g] = sum(1 << task for task in group)
        for merging in all_groupings(grouping.num_groups):
            merged = TaskGrouping.from_labels(merging.labels[label] for label in grouping.labels)
            moebius[k, position[merged]] = prod(
                (-1) ** (len(group) - 1) * factorial(len(group) - 1) for group in merging.groups
            )
    num_groups = np.array([float(grouping.num_groups) for grouping in groupings])
    return sets, num_groups, moebius


@lru_cache
@torch.inference_mode(False)
def _partitions_on(num_tasks: int, device: torch.device) -> tuple[Tensor, ...]:
    """Return :func:`_partitions` on a device."""
    return tuple(to_device(torch.as_tensor(array), device) for array in _partitions(num_tasks))


@contextmanager
def unchecked() -> Iterator[None]:
    """Let the functions of this room trust the numbers they get: to look, they wait for a GPU.

    Shapes are checked as ever.
    """
    token = _trusting.set(True)
    try:
        yield
    finally:
        _trusting.reset(token)


def check_distribution(
    probs: Tensor, madds: Tensor | Sequence, max_tasks: int | None = None
) -> Tensor:
    """Validate probabilities and costs; return the costs as float64 on the same device."""
    check_probs(probs, max_tasks)
    num_layers, _, num_candidates = probs.shape
    return check_costs(madds, ((num_layers,), (num_layers, num_candidates)), probs.device)


def check_probs(probs: Tensor, max_tasks: int | None = None) -> None:
    """Validate routing probabilities (L, T, C) and their number of tasks."""
    if probs.dim() != 3 or 0 in probs.shape or not probs.is_floating_point():
        raise InputError(
            f'probabilities are {probs.dtype} of shape {tuple(probs.shape)}, expected floating '
            'point of shape (layers, tasks, candidates)'
        )
    _, num_tasks, num_candidates = probs.shape
    if max_tasks is not None and num_tasks > max_tasks:
        raise InputError(f'probabilities are of {num_tasks} tasks, expected at most {max_tasks}')
    if _trusting.get():
        return
    exact = probs.detach().double()
    found = torch.stack([*exact.aminmax(), (exact.sum(dim=2) - 1).abs().max()])
    lowest, highest, error = found.tolist()  # together: a GPU is waited for
    _check_amounts('probabilities', lowest, highest)
    if error > max(1e-6, 4 * num_candidates * torch.finfo(probs.dtype).eps):
        raise InputError(
            f'probabilities of the candidates differ from a sum of 1 by up to {error:.3g}: give '
            'the softmax of the architecture parameters'
        )


def check_costs(
    costs: Tensor | Sequence, shapes: Sequence[tuple[int, ...]], device: torch.device
) -> Tensor:
    """Refuse costs of other shapes, negative costs and infinite costs; return them as float64."""
    amounts = torch.as_tensor(costs, dtype=torch.float64)
    if amounts.shape not in shapes:
        raise InputError(
            f'costs have shape {tuple(amounts.shape)}, expected {" or ".join(map(str, shapes))}'
        )
    if not _trusting.get():
        _check_amounts('costs', *torch.stack(amounts.detach().aminmax()).tolist())
    return to_device(amounts, device)


def _check_amounts(name: str, lowest: float, highest: float) -> None:
    if not 0 <= lowest <= highest < inf:  # of what is not a number, both are not
        raise InputError(f'{name} hold negative numbers or numbers that are not finite')
