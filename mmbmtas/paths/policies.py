"""How likely each domain takes each candidate: the distributions that a search of paths learns.

Shapes: ``L`` searched layers, ``D`` domains, ``C`` candidates of the layer that has most. Layers
with fewer are padded, with probability 0. Domains and layers choose independently.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmbmtas.devices import to_device
from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS
from mmbmtas.structures import is_zero

Candidates = Sequence[Sequence[Mapping[str, Any]]]
"""What each layer may be, see :class:`~mmbmtas.structures.paths.PathArchitecture`."""


class Policy(nn.Module):
    """Base of the distributions of paths; all begin uniform in each of their decisions.

    Args:
        candidates: What each of the ``L`` layers may be.
        domains: Names of the ``D`` domains.

    Raises:
        InputError: There is no layer, domain or candidate, or a domain is named twice.
    """

    valid: Tensor

    def __init__(self, candidates: Candidates, domains: Sequence[str]) -> None:
        super().__init__()
        self.candidates = tuple(tuple(map(dict, layer)) for layer in candidates)
        self.domains = tuple(domains)
        if not self.candidates or not all(self.candidates):
            raise InputError(f'candidates {candidates!r:.200}: expected one or more per layer')
        if not 1 <= len(set(self.domains)) == len(self.domains):
            raise InputError(f'domains {[*domains]}: expected one or more different names')
        counts = torch.tensor([len(layer) for layer in self.candidates])
        valid = torch.arange(max(map(len, self.candidates))) < counts[:, None]
        self.register_buffer('valid', valid, persistent=False)

    @abstractmethod
    def log_probs(self) -> Tensor:
        """Return the logarithms of :meth:`probs`, ``(L, D, C)``."""

    @abstractmethod
    def argmax(self) -> Tensor:
        """Return the candidates that are taken in the end, ``(L, D)``; on a tie the first."""

    @property
    def choosers(self) -> tuple[tuple[str, ...], ...]:
        """The domains that take the same path, whatever is learnt; by default each is alone."""
        return tuple((domain,) for domain in self.domains)

    def scores(self) -> Tensor:
        """Return how likely each candidate is beside the one that is taken in the end.

        Returns:
            Logarithms of ratios, ``(L, D, C)``: 0 of what :meth:`argmax` takes, no number is above.
        """
        log_probs = self.log_probs()
        return log_probs - log_probs.amax(dim=-1, keepdim=True)

    def probs(self) -> Tensor:
        """Return how likely each domain takes each candidate, ``(L, D, C)``."""
        return self.log_probs().exp()

    @torch.no_grad()
    def sample(self, domain: str, generator: torch.Generator | None = None) -> tuple[int, ...]:
        """Draw a path of a domain: the candidate of each layer.

        Args:
            domain: One of the domains.
            generator: Source of randomness, on the CPU; torch's by default.
        """
        return _draw(self.probs().double().cpu()[:, self.index(domain)], generator)

    @torch.no_grad()
    def sample_all(self, generator: torch.Generator | None = None) -> dict[str, tuple[int, ...]]:
        """Draw a path for each domain, one after another; a GPU is waited for once.

        Args:
            generator: As for :meth:`sample`.
        """
        probs = self.probs().double().cpu()
        rows = zip(self.domains, probs.unbind(dim=1), strict=True)
        return {domain: _draw(row, generator) for domain, row in rows}

    def log_prob(self, domain: str, path: Sequence[int]) -> Tensor:
        """Return the log probability of a path of a domain, 0-d, differentiable."""
        rows = self.log_probs()[:, self.index(domain)]
        chosen = to_device(torch.as_tensor(path), rows.device)
        return rows.gather(1, chosen[:, None]).sum()

    def index(self, domain: str) -> int:
        """Return the position of a domain.

        Raises:
            InputError: There is no such domain.
        """
        if domain not in self.domains:
            raise InputError(f'no domain {domain!r} among {[*self.domains]}')
        return self.domains.index(domain)


def _draw(probs: Tensor, generator: torch.Generator | None) -> tuple[int, ...]:
    """Draw a candidate of each layer, by probabilities ``(L, C)`` on the CPU."""
    return tuple(probs.multinomial(1, generator=generator)[:, 0].tolist())


@MODELS.register_module()
class FlatPolicy(Policy):
    """A softmax over the candidates of each layer, for each domain.

    Args:
        candidates: As for :class:`Policy`.
        domains: As for :class:`Policy`.

    Example:
        >>> policy = FlatPolicy([[{'kernel': 3}, {'kernel': 5}], [{'kernel': 3}]], ['a'])
        >>> policy.probs().tolist()
        [[[0.5, 0.5]], [[1.0, 0.0]]]
    """

    def __init__(self, candidates: Candidates, domains: Sequence[str]) -> None:
        super().__init__(candidates, domains)
        num_layers, num_candidates = self.valid.shape
        self.logits = nn.Parameter(torch.zeros(num_layers, len(self.domains), num_candidates))

    def log_probs(self) -> Tensor:
        """Return the log-softmax, ``(L, D, C)``."""
        return self.logits.masked_fill(~self.valid[:, None], -torch.inf).log_softmax(dim=-1)

    def argmax(self) -> Tensor:
        """Return the most probable candidates, ``(L, D)``."""
        return self.log_probs().argmax(dim=-1)


@MODELS.register_module()
class FactoredPolicy(Policy):
    """Separate decisions: whether a layer is left out, and each of its properties (TuNAS).

    The decisions are found in the candidates: ``zero``, and every other key with the values that
    occur. The probability of a candidate is the product over the decisions that it takes; one that
    leaves the layer out takes no other (hierarchical). In the end the most probable value of each
    decision is taken.

    Args:
        candidates: As for :class:`Policy`. Besides zero, those of a layer are all combinations of
            the values of its keys.
        domains: As for :class:`Policy`.

    Raises:
        InputError: They are not.

    Example:
        >>> layer = [{'kernel': 3}, {'kernel': 5}, {'zero': True}]
        >>> FactoredPolicy([layer], ['a']).probs().tolist()
        [[[0.25, 0.25, 0.5]]]
    """

    def __init__(self, candidates: Candidates, domains: Sequence[str]) -> None:
        super().__init__(candidates, domains)
        keys = {key: None for layer in self.candidates for c in layer for key in c}
        decisions = ['zero', *(key for key in keys if key != 'zero')]
        self.logits = nn.ParameterDict()
        for key in decisions:
            values = [_values(layer, key) for layer in self.candidates]
            most = max(map(len, values))
            choices = torch.zeros(self.valid.shape, dtype=torch.long)
            takes = torch.zeros(self.valid.shape, dtype=torch.bool)
            for index, (layer, known) in enumerate(zip(self.candidates, values, strict=True)):
                for c, candidate in enumerate(layer):
                    if key == 'zero' or key in candidate:
                        takes[index, c] = True
                        choices[index, c] = known.index(_value(candidate, key))
            counts = torch.tensor([max(len(known), 1) for known in values])
            self.logits[key] = nn.Parameter(torch.zeros(len(values), len(self.domains), most))
            self.register_buffer(f'_valid_{key}', torch.arange(most) < counts[:, None], False)
            self.register_buffer(f'_choices_{key}', choices, False)
            self.register_buffer(f'_takes_{key}', takes, False)
        for index, layer in enumerate(self.candidates):
            _check_complete(index, layer)

    def log_probs(self) -> Tensor:
        """Return the sums over decisions, ``(L, D, C)``."""
        return self._summed(lambda rows: rows.log_softmax(dim=-1))

    def scores(self) -> Tensor:
        """Return the sums over decisions, each beside its most probable value, ``(L, D, C)``."""
        return self._summed(lambda rows: rows - rows.amax(dim=-1, keepdim=True))

    def _summed(self, measure: Callable[[Tensor], Tensor]) -> Tensor:
        """Sum over the decisions of each candidate what some measure says of their values."""
        total = torch.zeros((), device=self.valid.device)
        for key in self.logits:
            choices, takes = self._buffer('choices', key), self._buffer('takes', key)
            rows = measure(self._rows(key))
            index = choices[:, None].expand(-1, len(self.domains), -1)
            total = total + torch.where(takes[:, None], rows.gather(2, index), 0)
        return total.masked_fill(~self.valid[:, None], -torch.inf)

    def argmax(self) -> Tensor:
        """Return the candidates of the most probable value of each decision, ``(L, D)``."""
        agrees = self.valid[:, None]
        for key in self.logits:
            best = self._rows(key).argmax(dim=-1, keepdim=True)
            same = self._buffer('choices', key)[:, None] == best
            agrees = agrees & (same | ~self._buffer('takes', key)[:, None])
        return agrees.int().argmax(dim=-1)

    def _rows(self, key: str) -> Tensor:
        """Return the logits of a decision, ``(L, D, values)``, without what a layer lacks."""
        return self.logits[key].masked_fill(~self._buffer('valid', key)[:, None], -torch.inf)

    def _buffer(self, kind: str, key: str) -> Tensor:
        return self.get_buffer(f'_{kind}_{key}')


def _value(candidate: Mapping[str, Any], key: str) -> Any:
    """Return what a candidate decides under a key."""
    return is_zero(candidate) if key == 'zero' else candidate[key]


def _values(layer: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """Return the values of a decision that occur in a layer; of ``zero``, not comes first."""
    values = [_value(c, key) for c in layer if key == 'zero' or key in c]
    ordered = list(dict.fromkeys(values))
    return sorted(ordered) if key == 'zero' else ordered


def _check_complete(index: int, layer: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a layer whose candidates are not all combinations, of which probabilities sum to 1."""
    blocks = [candidate for candidate in layer if not is_zero(candidate)]
    keys = {key for block in blocks for key in block}
    combinations = 1
    for key in keys:
        combinations *= len(_values(blocks, key) if all(key in block for block in blocks) else [])
    if blocks and combinations != len(blocks):
        raise InputError(
            f'layer {index}: FactoredPolicy decides {sorted(keys)} apart, so its candidates must '
            f'be all combinations of their values; found {len(blocks)}, expected {combinations} '
            "with each key in all of them. Use dict(type='FlatPolicy')"
        )
