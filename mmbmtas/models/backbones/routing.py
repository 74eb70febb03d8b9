"""How a supernet mixes its candidates by sampled weights: all of them, one, or the largest.

A scheme takes the sampled weights ``z`` of one task, ``(L, C)`` with rows that sum to 1 (Eq. 2). It
says which candidates run in each of the ``L`` layers, and by what their outputs are multiplied. The
paper's is :class:`SoftRouting`; the others are departures from it that trade its gradient for time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmbmtas.errors import InputError
from mmbmtas.registry import TASK_UTILS, build_kind
from mmbmtas.structures.documents import is_count, is_positive_number

Mixture = dict[int, Tensor]
"""The candidates of one layer that run, and the weight of each one's output, 0-d."""


class Routing:
    """Base of the schemes.

    Args:
        num_candidates: ``C``, candidates of each layer.
    """

    def __init__(self, num_candidates: int) -> None:
        self.num_candidates = num_candidates

    def __call__(self, z: Tensor) -> Sequence[Mixture]:
        """Return the mixture of each layer for sampled weights ``z`` ``(L, C)``."""
        raise NotImplementedError


@TASK_UTILS.register_module()
class SoftRouting(Routing):
    """All candidates run, weighted by the sample (paper, Eq. 2)."""

    def __call__(self, z: Tensor) -> Sequence[Mixture]:
        """Return the mixture of each layer for ``z`` ``(L, C)``."""
        return [dict(enumerate(row)) for row in z]


@TASK_UTILS.register_module()
class HardRouting(Routing):
    """The candidate with the largest weight runs alone; its gradient is a straight-through one.

    A departure from the paper: about C times less time and memory. With the Gumbel noise a
    candidate is the largest as often as its probability says, so networks of the search are the
    discrete ones that it may end in. The output is the candidate's, exactly: its weight is
    ``1 + z_c - stop_gradient(z_c)``.

    With ``a_k`` the scalar product of an output of candidate ``k`` with the gradient that arrives
    there, the parameters of a task in a layer receive::

        one candidate run (ours):     a_c * dz_c         = a_c * z_c * (e_c - z) / tau
        all run, hard=True of torch:  sum_k a_k * dz_k

    So it is *not* what ``torch.nn.functional.gumbel_softmax(hard=True)`` over all candidates gives:
    the terms of candidates that did not run are missing, since nobody knows their ``a_k``.
    What that means:

    - Where all candidates are equally likely, and for a loss that is linear in the output, the
      mean over samples is a positive multiple of ``a - mean(a)``, as that of the full sum is.
      Elsewhere it is biased: the full sum does not change when all ``a_k`` grow alike, ours does.
    - ``a_c`` is the slope of the loss if the output were scaled. Where all that reads the output
      normalises scale away (batch statistics behind a convolution, no skip connection) it is zero
      but for the normalisation's epsilon, and the tasks say nothing about that layer.

    :class:`TopKRouting` with two candidates has neither weakness, at twice the time.
    """

    def __call__(self, z: Tensor) -> Sequence[Mixture]:
        """Return the mixture of each layer for ``z`` ``(L, C)``."""
        through = 1 + (z - z.detach())  # exactly 1
        return [{c: row[c]} for c, row in zip(z.argmax(dim=-1).tolist(), through, strict=True)]


@TASK_UTILS.register_module()
class TopKRouting(Routing):
    """The candidates with the ``k`` largest weights run; their weights are scaled to a sum of 1.

    A departure from the paper: about ``C / k`` times less time and memory. Given which candidates
    run, their weights are a softmax of the same noisy parameters over these alone, and so is the
    gradient; candidates that did not run receive none from the tasks. With ``k = C`` it is
    :class:`SoftRouting`.

    Args:
        num_candidates: ``C``, candidates of each layer.
        k: Candidates that run, from 2; the weight of a single one would be the constant 1.

    Raises:
        ValueError: ``k`` is less than 2 or more than the candidates.
    """

    def __init__(self, num_candidates: int, k: int = 2) -> None:
        super().__init__(num_candidates)
        if not (is_count(k) and 2 <= k <= num_candidates):
            raise InputError(
                f'k={k!r} of TopKRouting: expected 2 to {num_candidates}, as many candidates as '
                'there are tasks (HardRouting runs one)'
            )
        self.k = k

    def __call__(self, z: Tensor) -> Sequence[Mixture]:
        """Return the mixture of each layer for ``z`` ``(L, C)``."""
        weights, chosen = z.topk(self.k, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        return [
            dict(zip(*pair, strict=True)) for pair in zip(chosen.tolist(), weights, strict=True)
        ]


@TASK_UTILS.register_module()
class ThresholdRouting(Routing):
    """Candidates whose weight is below a threshold do not run; the others' are scaled to sum 1.

    A departure from the paper, and the mildest one. The largest always runs. How many run follows
    the temperature: nearly all while it is high, mostly one where it is low.

    Given which candidates run, the gradient is that of a softmax over these alone, as of
    :class:`TopKRouting`; where only one runs it is zero. Both output and gradient are near the
    paper's: in a layer whose candidates' outputs lead to losses ``a`` (linear) that differ by at
    most ``R``, with ``d <= (C - 1) * threshold`` the weight that was left out, the output is off
    by at most ``d * R``, and no entry of the gradient by more than ``2 * d * R / tau``.

    Args:
        num_candidates: ``C``, candidates of each layer.
        threshold: Weight below which a candidate does not run, from 0 (:class:`SoftRouting`) to
            less than 0.5, where no two could. In high temperatures weights are near ``1 / C``.

    Raises:
        ValueError: ``threshold`` is negative or not less than 0.5.
    """

    def __init__(self, num_candidates: int, threshold: float) -> None:
        super().__init__(num_candidates)
        if not (threshold == 0 or (is_positive_number(threshold) and threshold < 0.5)):
            raise InputError(
                f'threshold={threshold!r} of ThresholdRouting: expected at least 0 and less than '
                '0.5, the share of a task below which a candidate does not run'
            )
        self.threshold = threshold

    def __call__(self, z: Tensor) -> Sequence[Mixture]:
        """Return the mixture of each layer for ``z`` ``(L, C)``."""
        largest = z.max(dim=-1, keepdim=True).values
        runs = (z >= self.threshold) | (z == largest)
        weights = z * runs
        weights = weights / weights.sum(dim=-1, keepdim=True)
        return [
            {c: row[c] for c, run in enumerate(chosen) if run}
            for chosen, row in zip(runs.tolist(), weights, strict=True)
        ]


def build_routing(cfg: Mapping[str, Any], num_candidates: int) -> Routing:
    """Build a registered :class:`Routing`.

    Raises:
        ValueError: There is none of this type, or it takes other arguments.
    """
    return build_kind(TASK_UTILS, cfg, Routing, 'routing', num_candidates=num_candidates)
