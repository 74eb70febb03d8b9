"""Candidates of a layer that differ in what they compute, and the decisions between them.

A candidate is a JSON object, a value for each decision: ``{'kernel': 5, 'expansion': 3, 'squeeze':
True}``; ``{'zero': True}`` is the one that passes its input on.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mmbmtas.structures.paths import Candidate, is_zero

ZERO = 'zero'
"""The decision whether a layer is left out."""


class Decisions:
    """The decisions of a layer, and how warm-up steps average them (TuNAS; spec of the seeds).

    Args:
        candidates: The layer's candidates.
        largest: Decisions that a warm-up step sets to their largest value. It averages the others.
    """

    def __init__(self, candidates: Sequence[Candidate], largest: Collection[str] = ()) -> None:
        self.candidates = tuple(candidates)
        self.largest = frozenset(largest)

    @cached_property
    def values(self) -> dict[str, tuple[Any, ...]]:
        """The values of each decision among the candidates that compute something."""
        found: dict[str, list[Any]] = {}
        for candidate in self.candidates:
            if not is_zero(candidate):
                for key, value in candidate.items():
                    seen = found.setdefault(key, [])
                    if value not in seen:
                        seen.append(value)
        return {key: tuple(seen) for key, seen in found.items()}

    @cached_property
    def has_zero(self) -> bool:
        """Whether the layer can be left out."""
        return any(map(is_zero, self.candidates))

    def draw_averaged(self, probability: float) -> frozenset[str]:
        """Draw which decisions are averaged, each on its own, from torch's global generator.

        Args:
            probability: How likely a decision is averaged.
        """
        if probability <= 0:
            return frozenset()
        names = [*self.values, *([ZERO] if self.has_zero else [])]
        drawn = torch.rand(len(names)) < probability
        return frozenset(name for name, hit in zip(names, drawn.tolist(), strict=True) if hit)

    def settled(
        self, candidate: int, averaged: Collection[str]
    ) -> tuple[float, dict[str, tuple[Any, ...]]]:
        """Return what a step computes of a layer.

        Args:
            candidate: The candidate that was sampled. A zero chose nothing else; where it is only
                half of the output, all other decisions are averaged (our choice).
            averaged: Decisions to average.

        Returns:
            The share of the input that is passed on in the place of the block's output, 0, 0.5 or
            1, and the values of each decision whose mean is taken.
        """
        chosen = self.candidates[candidate]
        share = float(is_zero(chosen))
        if ZERO in averaged:
            share = 0.5
        settled = {}
        for key, values in self.values.items():
            if key in averaged or is_zero(chosen):
                settled[key] = (max(values),) if key in self.largest else values
            else:
                settled[key] = (chosen[key],)
        return share, settled


class Choices(nn.Module):
    """All candidates of a layer. A subclass says how their weights are held.

    Attributes:
        decisions: What tells the candidates apart.
    """

    decisions: Decisions

    def forward(self, x: Tensor, candidate: int, averaging: float = 0.0) -> Tensor:
        """Run a candidate, or in a warm-up step the average of several.

        Args:
            x: ``(N, C_in, H, W)``.
            candidate: Position of the candidate.
            averaging: How likely each decision is averaged, on its own.

        Returns:
            ``(N, C_out, H / stride, W / stride)``.
        """
        averaged = self.decisions.draw_averaged(averaging)
        share, settled = self.decisions.settled(candidate, averaged)
        if share == 1:
            return x
        output = self.run(x, settled)
        return output if share == 0 else share * x + (1 - share) * output

    def run(self, x: Tensor, settled: Mapping[str, tuple[Any, ...]]) -> Tensor:
        """Run the block with the mean over several values of some decisions."""
        raise NotImplementedError


class SeparateChoices(Choices):
    """Candidates with weights of their own; a mean over values is the mean of the outputs.

    Args:
        candidates: The candidates as they are described.
        modules: Their modules, in the same order.
        largest: See :class:`Decisions`.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        modules: Sequence[nn.Module],
        largest: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.decisions = Decisions(candidates, largest)
        self.candidates = nn.ModuleList(modules)

    def run(self, x: Tensor, settled: Mapping[str, tuple[Any, ...]]) -> Tensor:
        """Average the outputs of the candidates that have one of the values in each decision."""
        outputs = [self.candidates[index](x) for index in self._members(settled)]
        return outputs[0] if len(outputs) == 1 else torch.stack(outputs).mean(dim=0)

    def _members(self, settled: Mapping[str, tuple[Any, ...]]) -> Iterator[int]:
        for index, candidate in enumerate(self.decisions.candidates):
            if not is_zero(candidate) and all(
                candidate.get(key) in values for key, values in settled.items()
            ):
                yield index
