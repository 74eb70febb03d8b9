"""Estimate the expected cost for too many tasks to count exactly; compute the cost of one routing.

Shapes are those of :mod:`mmbmtas.cost.expectation`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmbmtas.cost.expectation import (
    MAX_TASKS,
    check_costs,
    check_distribution,
    check_probs,
    expected_madds,
)
from mmbmtas.devices import to_device
from mmbmtas.errors import InputError


def sampled_expected_madds(
    probs: Tensor,
    madds: Tensor | Sequence,
    num_samples: int = 8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return an unbiased estimate of :func:`expected_madds`, for any number of tasks.

    A layer has one copy for each task with which no earlier task has agreed so far. The way ``w``
    of task ``t`` is the sequence of its candidates. Given ``w``, the other tasks are independent of
    one another, and the choice in layer ``l`` itself can be summed out::

        agreed[u, l] = prod_{l' < l} probs[l', u, w[l']]
        f[t, l](w)   = sum_c madds[l, c] * probs[l, t, c]
                             * prod_{u < t} (1 - agreed[u, l] * probs[l, u, c])
        E[cost]      = sum_l sum_t E_w[f[t, l](w)]

    The estimate draws ``S`` ways for each task and takes the mean of ``f`` over them. It is exact
    for a single layer, and if every choice is certain. The ways depend on the probabilities, so the
    gradient has a second part::

        dE_w[f[t, l](w)] = E_w[df[t, l](w) + f[t, l](w) * sum_{l' < l} dlog(probs[l', t, w[l']])]

    The expectation does not change if something that does not depend on ``w[l']`` is subtracted
    from the factor of ``dlog(probs[l', ...])``. Two things are subtracted: the layers' cost with
    all tasks apart, which leaves little once tasks have parted, and the mean of the other ``S - 1``
    ways, which are drawn independently. This holds in all directions in which the probabilities
    keep their sums, such as those of architecture parameters behind a softmax.

    The estimate takes ``O(S * L * T^2 * C)`` steps and numbers in memory. It is unbiased, but
    nonlinear functions of it are not.

    Args:
        probs: Probabilities, shape (L, T, C); differentiable, once.
        madds: Cost of one copy of each layer, shape (L,), or of each candidate, shape (L, C), in
            any unit.
        num_samples: ``S``, ways drawn for each task, at least 2.
        generator: Source of randomness, on the device of ``probs``; torch's by default.

    Returns:
        The estimate, in the form of :func:`expected_madds`.

    Raises:
        ValueError: As for :func:`expected_madds`, with any number of tasks; or ``num_samples`` is
            less than 2.
    """
    if num_samples < 2:
        raise InputError(f'num_samples {num_samples}: expected 2 or more')
    costs = check_distribution(probs, madds)
    costs = costs[:, None] if costs.dim() == 1 else costs
    exact = probs.double()
    num_layers, num_tasks, num_candidates = exact.shape
    flat = exact.detach().reshape(-1, num_candidates)
    drawn = flat.multinomial(num_samples, replacement=True, generator=generator)
    ways = drawn.view(num_layers, num_tasks, num_samples)
    layers = torch.arange(num_layers, device=probs.device)[:, None, None]
    # (L, T, S, U): the probability that task u takes the candidate of way s of task t.
    follows = exact[layers, :, ways]
    earlier = torch.ones(num_tasks, num_tasks, device=probs.device).tril(-1)[:, None]  # (T, 1, U)
    agreed = torch.cat([torch.ones_like(follows[:1]), follows[:-1].cumprod(dim=0)]) * earlier
    # (L, T, S, C): that no earlier task has come along, had the task taken candidate c here.
    alone = 1 - agreed[..., None] * exact[:, None, None]
    apart = exact * costs[:, None]
    saved = ((alone.prod(dim=3) - 1) * apart[:, :, None]).sum(dim=-1)  # (L, T, S), 0 or less
    value = apart.sum() + saved.sum() / num_samples

    later = saved.detach().flip(0).cumsum(dim=0).flip(0)[1:]
    factors = (later - later.mean(dim=2, keepdim=True)) * num_samples / (num_samples - 1)
    own = follows.diagonal(dim1=1, dim2=3).transpose(1, 2)[:-1].log()
    score = (factors * own).sum() / num_samples
    return (value + score - score.detach()).to(probs.dtype)


def sampled_expected_cost(
    probs: Tensor,
    costs: Tensor | Sequence,
    num_samples: int = 32,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return an unbiased estimate of :func:`expected_cost`, for any number of tasks.

    The costs are split into a line through the costs of 1 and of ``T`` copies, and a rest::

        costs[l, g - 1] = costs[l, 0] + slope[l] * (g - 1) + rest[l, g - 1]

    The expectation of the line is exact for up to 16 tasks; for more,
    :func:`sampled_expected_madds` estimates it. The expectation of the rest is the mean over ``S``
    sampled routings. Its gradient is that of the routings' log probabilities. Each choice in layer
    ``l`` is weighted by the rest of the layers from ``l`` on, less the mean of this rest in the
    other ``S - 1`` routings, which does not change the expectation. If costs are near a line, the
    variance is small.

    The estimate takes ``O(S * L * T^2)`` steps in addition to those of the line.

    Args:
        probs: Probabilities, shape (L, T, C); differentiable, once.
        costs: Cost of 1 to T copies of each layer together, shape (L, T), in any unit.
        num_samples: ``S``, routings drawn, at least 2.
        generator: Source of randomness, on the device of ``probs``; torch's by default.

    Returns:
        The estimate, in the form of :func:`expected_cost`.

    Raises:
        ValueError: As for :func:`expected_cost`, with any number of tasks; or ``num_samples`` is
            less than 2.
    """
    if num_samples < 2:
        raise InputError(f'num_samples {num_samples}: expected 2 or more')
    check_probs(probs)
    num_layers, num_tasks, num_candidates = probs.shape
    table = check_costs(costs, ((num_layers, num_tasks),), probs.device)
    exact = probs.double()
    # A slope below zero would be no cost; any slope will do.
    slope = ((table[:, -1] - table[:, 0]) / max(num_tasks - 1, 1)).clamp_min(0)
    if num_tasks <= MAX_TASKS:
        line = expected_madds(exact, slope)
    else:
        line = sampled_expected_madds(exact, slope, num_samples, generator)
    line = line + (table[:, 0] - slope).sum()
    rest = table - table[:, :1] - slope[:, None] * torch.arange(num_tasks, device=probs.device)

    flat = exact.detach().reshape(-1, num_candidates)
    drawn = flat.multinomial(num_samples, replacement=True, generator=generator)
    routings = drawn.view(num_layers, num_tasks, num_samples)
    copies = count_groups(routings.permute(2, 0, 1))  # (S, L)
    left = rest[torch.arange(num_layers, device=probs.device), copies - 1]
    later = left.flip(1).cumsum(dim=1).flip(1)
    factors = (later - later.mean(dim=0)) * num_samples / (num_samples - 1)
    chosen = exact.gather(2, routings).log().sum(dim=1)  # (L, S)
    score = (factors.T * chosen).sum() / num_samples
    return (line + left.sum() / num_samples + score - score.detach()).to(probs.dtype)


def count_groups(routing: Tensor) -> Tensor:
    """Count the groups of a routing in each layer.

    Args:
        routing: The candidate of each task in each layer, shape (..., L, T), integers.

    Returns:
        Numbers of groups, shape (..., L), integers from 1.
    """
    agree = routing[..., :, None] == routing[..., None, :]
    together = agree.int().cumprod(dim=-3).bool()
    # As many groups as tasks that no earlier one has agreed with so far.
    return (~together.tril(-1).any(dim=-1)).sum(dim=-1)


def routed_madds(routing: Tensor, madds: Tensor | Sequence) -> Tensor:
    """Compute the cost of a routing's tree: one copy of a layer per group of tasks.

    Args:
        routing: The candidate of each task in each layer, shape (L, T), integers.
        madds: Cost of one copy of each layer, shape (L,), in any unit.

    Returns:
        The cost in float64, 0-d, on the device of ``routing``.
    """
    costs = to_device(torch.as_tensor(madds, dtype=torch.float64), routing.device)
    return count_groups(routing).double() @ costs


def routed_cost(routing: Tensor, costs: Tensor | Sequence) -> Tensor:
    """Compute the cost of a routing's tree, if it depends on the number of copies in any way.

    Args:
        routing: The candidate of each task in each layer, shape (L, T), integers.
        costs: Cost of 1 to T copies of each layer together, shape (L, T), in any unit.

    Returns:
        The cost in float64, 0-d, on the device of ``routing``.
    """
    table = to_device(torch.as_tensor(costs, dtype=torch.float64), routing.device)
    return table.gather(1, count_groups(routing)[:, None] - 1).sum()
