"""The penalty on the expected size of the searched network (paper, section 3.3)."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmbmtas.cost import (
    MAX_TASKS,
    MAX_TASKS_RECURSIVE,
    expected_madds,
    recursive_expected_madds,
    routed_madds,
    sampled_expected_madds,
)
from mmbmtas.registry import MODELS


@MODELS.register_module()
class ResourceLoss(nn.Module):
    """Weight times the expected cost of the tree (Eq. 4 to 6).

    Without a target the loss is ``weight * E``, ``E`` the expected multiply-adds of the encoder
    layers in 10^9. With ``target_madds`` it is ``weight * |E / target - 1|`` with ``E`` and the
    target those of the whole network: stem, tree and decoders. That form is ours: it lets a user
    ask for a budget instead of trying values of lambda.

    While tasks are undecided, the tree of their most probable candidates costs less than the
    expectation. A long search ends decided; a short one held at ``E = target`` ends below its
    budget. There ``budgeted='argmax'`` helps (our choice): the penalty's value is that of the tree
    that would be exported now, its gradient that of the expectation, so that the tree itself is
    held at the target (a straight-through estimate).

    Args:
        weight: ``lambda``, per 10^9 multiply-adds (or per unit of relative deviation).
        expectation: ``exact``, for up to 16 tasks; ``recursive`` for the paper's Eq. 6, which
            overestimates the cost, for up to 7; or ``sampled`` for any number, an unbiased estimate
            drawn anew in each iteration. With a target, use it with ``budgeted='argmax'``: the
            deviation of an estimate has a sign that is sometimes wrong, that of the tree has not.
        target_madds: Multiply-adds the whole network should have.
        budgeted: What a target holds: the cost ``expected``, or that of the ``argmax``.

    Raises:
        ValueError: ``expectation`` or ``budgeted`` is neither, or a number is not positive.
    """

    def __init__(
        self,
        weight: float = 0.5,
        expectation: Literal['exact', 'recursive', 'sampled'] = 'exact',
        target_madds: float | None = None,
        budgeted: Literal['expected', 'argmax'] = 'expected',
    ) -> None:
        super().__init__()
        expectations: dict[str, tuple[Callable[..., Tensor], int | None]] = {
            'exact': (expected_madds, MAX_TASKS),
            'recursive': (recursive_expected_madds, MAX_TASKS_RECURSIVE),
            'sampled': (sampled_expected_madds, None),
        }
        if expectation not in expectations:
            raise ValueError(f'expectation {expectation!r}: expected one of {list(expectations)}')
        if budgeted not in ('expected', 'argmax'):
            raise ValueError(f"budgeted {budgeted!r}: expected 'expected' or 'argmax'")
        if weight < 0:
            raise ValueError(f'weight {weight} of the resource loss: expected 0 or more')
        if target_madds is not None and target_madds <= 0:
            raise ValueError(f'target_madds {target_madds}: expected multiply-adds above 0')
        self.weight = weight
        self.expectation = expectation
        self.expected, self.max_tasks = expectations[expectation]
        self.target_madds = target_madds
        self.budgeted = budgeted

    def check_tasks(self, num_tasks: int) -> None:
        """Check that the expectation can be computed for a number of tasks.

        Raises:
            ValueError: There are too many.
        """
        if self.weight > 0 and self.max_tasks is not None and num_tasks > self.max_tasks:
            raise ValueError(
                f'{num_tasks} tasks, but the {self.expectation} expectation of the resource loss '
                f"is for at most {self.max_tasks}: set resource_loss.expectation='sampled'"
            )

    def forward(
        self, routing_probs: Tensor, layer_madds: Sequence[int], fixed_madds: int = 0
    ) -> Tensor:
        """Compute the penalty.

        Args:
            routing_probs: ``p_A``, ``(L, T, C)``.
            layer_madds: Multiply-adds of one copy of each layer, ``L`` of them.
            fixed_madds: Multiply-adds of what no tree changes: stem and decoders.

        Returns:
            A scalar.
        """
        if self.weight == 0:
            return routing_probs.sum() * 0  # it may be the only loss of an iteration
        giga = torch.tensor([madds / 1e9 for madds in layer_madds], dtype=torch.float64)
        expected = self.expected(routing_probs, giga)
        if self.target_madds is None:
            return self.weight * expected
        if self.budgeted == 'argmax':
            # Exact whatever the gradient follows: the recursion counts too much where tasks that
            # have parted agree again, and an estimate varies.
            tree = routed_madds(routing_probs.argmax(dim=-1), giga).to(expected)
            expected = expected + (tree - expected).detach()
        relative = (expected + fixed_madds / 1e9) / (self.target_madds / 1e9)
        return self.weight * (relative - 1).abs()
