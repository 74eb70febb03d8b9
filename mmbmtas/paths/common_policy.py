"""One policy for all domains, for a search of a single path."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmbmtas.registry import MODELS, build_kind

from .policies import Candidates, Policy


@MODELS.register_module()
class CommonPolicy(Policy):
    """A policy that all domains have in common, so that they end with the same path.

    Each domain draws its own path of it, and all their rewards teach it: the gradient is that of
    the sum of the domains' rewards.

    Args:
        candidates: As for :class:`Policy`.
        domains: As for :class:`Policy`.
        policy: Config of the policy that they share, ``FactoredPolicy`` by default.

    Example:
        >>> policy = CommonPolicy([[{'kernel': 3}, {'kernel': 5}]], ['a', 'b'])
        >>> policy.probs().tolist()
        [[[0.5, 0.5], [0.5, 0.5]]]
    """

    def __init__(
        self,
        candidates: Candidates,
        domains: Sequence[str],
        policy: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(candidates, domains)
        cfg = policy or {'type': 'FactoredPolicy'}
        self.common: Policy = build_kind(
            MODELS, cfg, Policy, 'policy', candidates=candidates, domains=('all',)
        )

    @property
    def choosers(self) -> tuple[tuple[str, ...], ...]:
        """All domains take the same path."""
        return (self.domains,)

    def scores(self) -> Tensor:
        """Return the common ratios, ``(L, D, C)``."""
        return self.common.scores().expand(-1, len(self.domains), -1)

    def log_probs(self) -> Tensor:
        """Return the common logarithms, ``(L, D, C)``."""
        return self.common.log_probs().expand(-1, len(self.domains), -1)

    def argmax(self) -> Tensor:
        """Return the common path of all domains, ``(L, D)``."""
        return self.common.argmax().expand(-1, len(self.domains))
