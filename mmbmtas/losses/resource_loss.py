"""The penalty on the expected size of the searched network (paper, section 3.3)."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from mmbmtas.cost import (
    MAX_TASKS,
    MAX_TASKS_COUNTED,
    MAX_TASKS_RECURSIVE,
    LatencyTable,
    expected_cost,
    expected_madds,
    recursive_expected_madds,
    routed_cost,
    routed_madds,
    sampled_expected_cost,
    sampled_expected_madds,
    unchecked,
)
from mmbmtas.devices import constants
from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS
from mmbmtas.structures.documents import is_positive_number

TOLERANCE = 0.05
"""Largest distance from a target that counts as met, as a share of the target (ours)."""

_Expectations = dict[str, tuple[Callable[..., Tensor], int | None]]
_OF_MADDS: _Expectations = {
    'exact': (expected_madds, MAX_TASKS),
    'recursive': (recursive_expected_madds, MAX_TASKS_RECURSIVE),
    'sampled': (sampled_expected_madds, None),
}
_OF_LATENCY: _Expectations = {
    'exact': (expected_cost, MAX_TASKS_COUNTED),
    'sampled': (sampled_expected_cost, None),
}


@MODELS.register_module()
class ResourceLoss(nn.Module):
    """The expected cost of the tree, weighted (Eq. 4 to 6).

    Without a target the loss is ``weight * E``, where ``E`` is the expected multiply-adds of the
    encoder layers in 10^9. With ``target_madds`` it is ``weight * |E / target - 1|``, where ``E``
    and the target are those of the whole network: stem, tree and decoders. The second form is ours.
    It lets a user set a budget instead of trying values of lambda.

    While tasks are undecided, the tree of their most probable candidates costs less than the
    expectation. A long search ends decided. A short search held at ``E = target`` ends below its
    budget. There ``budgeted='argmax'`` helps (our choice). The value of the penalty is then that of
    the tree that would be exported now, and its gradient is that of the expectation. This holds the
    tree itself at the target (a straight-through estimate).

    With ``at_most`` a cost below the target is not penalised: ``weight * max(E / target - 1, 0)``
    (ours).

    With ``latency`` the cost is time in milliseconds, from a table measured on some device (ours).
    ``E`` then need not be proportional to the numbers of copies of the layers.

    Args:
        weight: ``lambda``, per 10^9 multiply-adds, per millisecond, or, with a target, per unit of
            relative deviation.
        expectation: ``exact``, for up to 16 tasks (10 with ``latency``); ``recursive`` for the
            paper's Eq. 6, which overestimates the cost, for up to 7 tasks (multiply-adds only); or
            ``sampled``, an unbiased estimate drawn in each iteration, for any number of tasks. With
            a target, combine ``sampled`` with ``budgeted='argmax'``: an estimate is sometimes on
            the wrong side of the target, the tree never is.
        target_madds: Multiply-adds that the whole network should have.
        budgeted: Cost that a target applies to: the ``expected`` cost, or that of the ``argmax``.
        at_most: Whether the target is a limit. By default the cost should be about the target.
        latency: Measured times to use instead of multiply-adds: the file that
            ``tools/analysis_tools/measure_latency.py`` writes, or its content.
        target_latency_ms: Milliseconds that the whole network should take, by that table.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: ``expectation`` or ``budgeted`` is unknown, a number is not positive, the table
            is not valid, a target is for the other kind of cost, or ``at_most`` is without one.
    """

    def __init__(
        self,
        weight: float = 0.5,
        expectation: Literal['exact', 'recursive', 'sampled'] = 'exact',
        target_madds: float | None = None,
        budgeted: Literal['expected', 'argmax'] = 'expected',
        latency: str | os.PathLike | Mapping[str, Any] | None = None,
        target_latency_ms: float | None = None,
        at_most: bool = False,
    ) -> None:
        super().__init__()
        expectations, kind = (
            (_OF_MADDS, 'multiply-adds') if latency is None else (_OF_LATENCY, 'latency')
        )
        if expectation not in expectations:
            raise InputError(
                f'expectation {expectation!r}: expected one of {list(expectations)} for {kind}'
            )
        if budgeted not in ('expected', 'argmax'):
            raise InputError(f"budgeted {budgeted!r}: expected 'expected' or 'argmax'")
        _check_number('weight', weight, 'lambda, 0 or more', weight == 0)
        if target_madds is not None:
            _check_number('target_madds', target_madds, 'multiply-adds above 0')
        if target_latency_ms is not None:
            _check_number('target_latency_ms', target_latency_ms, 'milliseconds above 0')
        if latency is None and target_latency_ms is not None:
            raise InputError(
                f'target_latency_ms {target_latency_ms} needs a table, latency=FILE.json, which '
                'tools/analysis_tools/measure_latency.py writes'
            )
        if latency is not None and target_madds is not None:
            raise InputError(
                f'target_madds {target_madds} with a latency table: set target_latency_ms instead'
            )
        if at_most and target_madds is None and target_latency_ms is None:
            raise InputError(
                'at_most=True of the resource loss needs a limit: set target_madds, or '
                'target_latency_ms with a latency table'
            )
        self.weight = weight
        self.expectation = expectation
        self.expected, self.max_tasks = expectations[expectation]
        self.target_madds = target_madds
        self.target_latency_ms = target_latency_ms
        self.budgeted = budgeted
        self.at_most = at_most
        self.latency = None if latency is None else _as_table(latency)
        self.routed: Callable[..., Tensor] = routed_madds if latency is None else routed_cost
        giga = None if target_madds is None else target_madds / 1e9
        self.target = giga if latency is None else target_latency_ms

    def check_tasks(self, num_tasks: int) -> None:
        """Check that the expectation can be computed for this number of tasks.

        Raises:
            ValueError: There are too many.
        """
        if self.weight > 0 and self.max_tasks is not None and num_tasks > self.max_tasks:
            raise InputError(
                f'{num_tasks} tasks, but the {self.expectation} expectation of the resource loss '
                f"is for at most {self.max_tasks}: set resource_loss.expectation='sampled'"
            )

    def forward(
        self, routing_probs: Tensor, layer_madds: Sequence[int], fixed_madds: int = 0
    ) -> Tensor:
        """Compute the penalty.

        Args:
            routing_probs: ``p_A``, ``(L, T, C)``.
            layer_madds: Multiply-adds of one copy of each layer, ``L`` of them; not needed with a
                latency table.
            fixed_madds: Multiply-adds of the parts that no tree changes: stem and decoders.

        Returns:
            A scalar.
        """
        if self.weight == 0:
            return routing_probs.sum() * 0  # it may be the only loss of an iteration
        costs: Sequence[Any]
        if self.latency is None:
            costs, fixed = [madds / 1e9 for madds in layer_madds], fixed_madds / 1e9
        else:
            costs, fixed = self.latency.layers_ms, self.latency.fixed_ms
        rows = tuple(tuple(row) if isinstance(row, Sequence) else row for row in costs)
        layer_costs = constants(rows, routing_probs.device)
        with unchecked():  # costs were when they were measured; a loss that is NaN is found
            expected = self.expected(routing_probs, layer_costs)
        if self.target is None:
            return self.weight * expected
        if self.budgeted == 'argmax':
            # Exact whatever the gradient follows: the recursion counts too much where tasks that
            # have parted agree again, and an estimate varies.
            tree = self.routed(routing_probs.argmax(dim=-1), layer_costs).to(expected)
            expected = expected + (tree - expected).detach()
        excess = (expected + fixed) / self.target - 1
        return self.weight * (excess.clamp(min=0) if self.at_most else excess.abs())

    def describe_miss(self, cost: float) -> str | None:
        """Say by how much a network misses the target, if by more than 5 %.

        Args:
            cost: Multiply-adds of the whole network, or its milliseconds by the latency table.

        Returns:
            None without a target, near it, or below a limit.
        """
        target, name, unit = (
            (self.target_madds, 'target_madds', 'multiply-adds')
            if self.latency is None
            else (self.target_latency_ms, 'target_latency_ms', 'ms')
        )
        if target is None:
            return None
        excess = cost / target - 1
        if excess <= TOLERANCE and (self.at_most or excess >= -TOLERANCE):
            return None
        return f'{abs(excess):.1%} {"above" if excess > 0 else "below"} {name}={target:g} {unit}'


def _check_number(name: str, value: Any, expected: str, fits: bool = False) -> None:
    """Raise a ``ValueError`` unless a value fits or is a positive finite number."""
    if not fits and not is_positive_number(value):
        raise InputError(f'{name} {value!r} of the resource loss: expected {expected}')


def _as_table(latency: str | os.PathLike | Mapping[str, Any]) -> LatencyTable:
    """Return the table from a path or from its content."""
    if isinstance(latency, str | os.PathLike):
        return LatencyTable.load(latency)
    return LatencyTable.from_dict(dict(latency) if isinstance(latency, Mapping) else latency)
