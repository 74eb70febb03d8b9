"""The expected cost where there are too many tasks to count it exactly, and that of one routing.

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
from mmbmtas.errors import InputError


def sampled_expected_madds(
    probs: Tensor,
    madds: Tensor | Sequence,
    num_samples: int = 8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return an unbiased estimate of :func:`expected_madds`, for any number of tasks.

    A layer has as many copies as tasks with which no earlier one has agreed so far. Given the way
    ``w`` of task ``t``, the candidates that it takes, the others are independent of one another;
    the choice in layer ``l`` itself can be summed out. So with ``S`` ways of each task drawn::

        agreed[u, l] = prod_{l' < l} probs[l', u, w[l']]
        f[t, l](w)   = sum_c madds[l, c] * probs[l, t, c]
                             * prod_{u < t} (1 - agreed[u, l] * probs[l, u, c])
        E[cost]      = sum_l sum_t E_w[f[t, l](w)]

    and the mean of ``f`` over the drawn ways estimates it. It is exact for a single layer, and
    where every choice is certain. As the ways depend on the probabilities, the gradient has a
    second part::

        dE_w[f[t, l](w)] = E_w[df[t, l](w) + f[t, l](w) * sum_{l' < l} dlog(probs[l', t, w[l']])]

    It has the same expectation if from the factor of ``dlog(probs[l', ...])`` anything is
    subtracted that does not depend on ``w[l']``: here what the layers cost with all tasks apart,
    which leaves little where tasks have parted, and the mean of the other ``S - 1`` ways, which are
    drawn independently. That holds along all directions in which probabilities keep their sums, the
    architecture parameters behind a softmax for one.

    It takes ``O(S * L * T^2 * C)`` steps and numbers in memory. The estimate is unbiased, functions
    of it that are not linear are not.

    Args:
        probs: Probabilities, shape (L, T, C); differentiable, once.
        madds: Cost of one copy of each layer, shape (L,), or of each candidate, shape (L, C), in
            any unit.
        num_samples: ``S``, ways drawn for each task, from 2.
        generator: Where randomness comes from, on the device of ``probs``; torch's by default.

    Returns:
        The estimate, as :func:`expected_madds` returns its value.

    Raises:
        ValueError: As :func:`expected_madds` does, for any number of tasks; ``num_samples`` is less
            than 2.
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

    The costs are split into a line through those of 1 and of ``T`` copies, and what is left::

        costs[l, g - 1] = costs[l, 0] + slope[l] * (g - 1) + rest[l, g - 1]

    The expectation of the line is exact for up to 16 tasks, and estimated by
    :func:`sampled_expected_madds` for more. That of the rest is the mean over ``S`` sampled
    routings. Its gradient is that of the routings' logarithmic probabilities, each choice in layer
    ``l`` weighted by the rest of the layers from ``l`` on, less its mean in the other ``S - 1``
    routings, which has the same expectation. Costs that are near a line leave little to vary.

    It takes ``O(S * L * T^2)`` steps, beside those of the line.

    Args:
        probs: Probabilities, shape (L, T, C); differentiable, once.
        costs: Cost of 1 to T copies of each layer together, shape (L, T), in any unit.
        num_samples: ``S``, routings drawn, from 2.
        generator: Where randomness comes from, on the device of ``probs``; torch's by default.

    Returns:
        The estimate, as :func:`expected_cost` returns its value.

    Raises:
        ValueError: As :func:`expected_cost` does, for any number of tasks; ``num_samples`` is less
            than 2.
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
    """Return in how many groups the tasks of a routing are in each layer.

    Args:
        routing: The candidate of each task in each layer, shape (..., L, T), integers.

    Returns:
        Shape (..., L), integers from 1.
    """
    agree = routing[..., :, None] == routing[..., None, :]
    together = agree.int().cumprod(dim=-3).bool()
    # As many groups as tasks that no earlier one has agreed with so far.
    return (~together.tril(-1).any(dim=-1)).sum(dim=-1)


def routed_madds(routing: Tensor, madds: Tensor | Sequence) -> Tensor:
    """Return what the tree of a routing costs: a copy of a layer for each group of tasks.

    Args:
        routing: The candidate of each task in each layer, shape (L, T), integers.
        madds: Cost of one copy of each layer, shape (L,), in any unit.

    Returns:
        The cost in float64, 0-d, on the device of ``routing``.
    """
    costs = torch.as_tensor(madds, dtype=torch.float64, device=routing.device)
    return count_groups(routing).double() @ costs


def routed_cost(routing: Tensor, costs: Tensor | Sequence) -> Tensor:
    """Return what the tree of a routing costs if that depends on the number of copies in any way.

    Args:
        routing: The candidate of each task in each layer, shape (L, T), integers.
        costs: Cost of 1 to T copies of each layer together, shape (L, T), in any unit.

    Returns:
        The cost in float64, 0-d, on the device of ``routing``.
    """
    table = torch.as_tensor(costs, dtype=torch.float64, device=routing.device)
    return table.gather(1, count_groups(routing)[:, None] - 1).sum()
