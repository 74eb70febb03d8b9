"""REINFORCE as in TuNAS: rewards, moving baselines and the schedules of a search.

Source: the public code of TuNAS (Bender et al., CVPR 2020), whose controller MPNAS builds on. The
gradient of the expected reward is the expectation of ``(R - b) * d log p``, whatever the baseline
``b`` that does not depend on the sample; a good one makes it less noisy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmbmtas.devices import to_device
from mmbmtas.errors import InputError
from mmbmtas.structures.values import (
    require_choice,
    require_count,
    require_number,
    require_share,
)

KINDS = ('abs', 'mnas', 'mnas_hard')
MOMENTUM = 0.95
"""Of the baselines, as in TuNAS."""
MAX_ITERS = 10**9


@dataclass(frozen=True)
class Reward:
    """The reward of a path: its quality ``Q``, minus a penalty on the cost for a target.

    With ``r = cost / target`` it is ``Q + beta |r - 1|`` (``abs``), ``Q r^beta`` (``mnas``) or
    ``Q min(r^beta, 1)`` (``mnas_hard``, which does not reward costs below the target).

    Attributes:
        kind: ``abs``, ``mnas`` or ``mnas_hard``.
        beta: Below 0; TuNAS has -0.1.

    Raises:
        InputError: ``kind`` is none of the three, or ``beta`` is not below 0.

    Example:
        >>> reward = Reward('abs', beta=-0.1)
        >>> reward(0.5, 2.0), reward(0.5, None)
        (0.4, 0.5)
    """

    kind: str = 'abs'
    beta: float = -0.1

    def __post_init__(self) -> None:
        require_choice('train_cfg.reward', self.kind, KINDS)
        if require_number('train_cfg.beta', self.beta) >= 0:
            raise InputError(f'train_cfg.beta {self.beta}: expected a number below 0, such as -0.1')

    def __call__(self, quality: float, ratio: float | None) -> float:
        """Return the reward.

        Args:
            quality: ``Q``, for example the accuracy, 0 to 1.
            ratio: ``r``; None where there is no target.
        """
        if ratio is None:
            return quality
        if self.kind == 'abs':
            return quality + self.beta * abs(ratio - 1)
        factor = ratio**self.beta if ratio > 0 else math.inf
        return quality * (factor if self.kind == 'mnas' else min(factor, 1.0))


class Baseline:
    """A moving average of rewards without the bias of its beginning.

    After ``t`` rewards it is ``sum_i m^(t-i) R_i / sum_i m^(t-i)``, so that the last one weighs
    ``(1 - m) / (1 - m^t)``. It takes a reward in *before* it is used, as in TuNAS: the first
    advantage is 0.

    Args:
        total: The numerator, to go on from an earlier average.
        weight: The denominator.

    Example:
        >>> baseline = Baseline()
        >>> baseline.update(0.5), round(baseline.update(0.7), 6)
        (0.5, 0.602564)
    """

    def __init__(self, total: float = 0.0, weight: float = 0.0) -> None:
        self.total = total
        self.weight = weight

    def update(self, reward: float) -> float:
        """Add a reward, and return the average."""
        self.total = MOMENTUM * self.total + reward
        self.weight = MOMENTUM * self.weight + 1
        return self.total / self.weight


@dataclass(frozen=True)
class Schedule:
    """What changes over the ``N`` iterations of a search, of which the first ``n`` are warm-up.

    Attributes:
        iters: ``N``.
        warmup_share: Share of them that is warm-up, ``n = int(warmup_share * N)``.

    Raises:
        InputError: ``iters`` is no whole number above 0, or ``warmup_share`` not from 0 to less
            than 1.

    Example:
        >>> schedule = Schedule(iters=1000, warmup_share=0.25)
        >>> schedule.averaging(100), schedule.rate(249), schedule.rate(250)
        (0.6, 0.0, 1.0)
    """

    iters: int
    warmup_share: float = 0.25

    def __post_init__(self) -> None:
        require_count('train_cfg.weight_iters', self.iters, most=MAX_ITERS)
        require_share('train_cfg.warmup_share', self.warmup_share, below_one=True)

    @property
    def warmup_iters(self) -> int:
        """``n``, the iterations in which the policies do not learn."""
        return int(self.warmup_share * self.iters)

    def averaging(self, iteration: int) -> float:
        """Return how likely a decision is averaged over: ``1 - t / n``, and 0 from ``n`` on."""
        return max(0.0, 1 - iteration / self.warmup_iters) if self.warmup_iters else 0.0

    def rate(self, iteration: int) -> float:
        """Return the factor of the policies' learning rate: ``10^((t - n) / (N - n))``, before 0.

        It grows tenfold: the longer the weights have learned, the more rewards say.
        """
        past = iteration - self.warmup_iters
        return 0.0 if past < 0 else 10 ** (past / (self.iters - self.warmup_iters))


def policy_loss(log_probs: Tensor, advantages: Sequence[float] | Tensor) -> Tensor:
    """Return ``-sum (R - b) log p``, 0-d, whose gradient is REINFORCE's.

    Args:
        log_probs: Of the samples, shape (n,); differentiable.
        advantages: ``R - b`` of each.
    """
    weights = torch.as_tensor(advantages, dtype=log_probs.dtype)
    return -(log_probs * to_device(weights, log_probs.device)).sum()
