"""The penalty on the expected size of the searched network (paper, section 3.3)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbmtas.cost import expected_madds, recursive_expected_madds
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
        expectation: ``exact``, or ``recursive`` for the paper's Eq. 6, which overestimates the
            cost.
        target_madds: Multiply-adds the whole network should have.
        budgeted: What a target holds: the cost ``expected``, or that of the ``argmax``.

    Raises:
        ValueError: ``expectation`` or ``budgeted`` is neither, or a number is not positive.
    """

    def __init__(
        self,
        weight: float = 0.5,
        expectation: Literal['exact', 'recursive'] = 'exact',
        target_madds: float | None = None,
        budgeted: Literal['expected', 'argmax'] = 'expected',
    ) -> None:
        super().__init__()
        expectations = {'exact': expected_madds, 'recursive': recursive_expected_madds}
        if expectation not in expectations:
            raise ValueError(f'expectation {expectation!r}: expected one of {list(expectations)}')
        if budgeted not in ('expected', 'argmax'):
            raise ValueError(f"budgeted {budgeted!r}: expected 'expected' or 'argmax'")
        if weight < 0:
            raise ValueError(f'weight {weight} of the resource loss: expected 0 or more')
        if target_madds is not None and target_madds <= 0:
            raise ValueError(f'target_madds {target_madds}: expected multiply-adds above 0')
        self.weight = weight
        self.expected = expectations[expectation]
        self.target_madds = target_madds
        self.budgeted = budgeted

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
            decided = F.one_hot(routing_probs.argmax(dim=-1), routing_probs.shape[-1])
            # Exact whatever the gradient follows: the recursion counts too much where tasks that
            # have parted agree again.
            tree = expected_madds(decided.double(), giga).to(expected)
            expected = expected + (tree - expected).detach()
        relative = (expected + fixed_madds / 1e9) / (self.target_madds / 1e9)
        return self.weight * (relative - 1).abs()
