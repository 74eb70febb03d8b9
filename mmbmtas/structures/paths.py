"""Paths of several domains through one network: each domain's candidate in every layer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mmbmtas.errors import InputError
from mmbmtas.structures.documents import plain_json
from mmbmtas.structures.routed import RoutedArchitecture
from mmbmtas.structures.task_grouping import TaskGrouping

Candidate = dict[str, Any]
"""What a layer may be, for example ``{'kernel': 3, 'expansion': 6, 'squeeze': True}``."""


CHANGED_FOR_BUDGET = 'choices_changed_for_budget'
"""In ``source``: how many choices were not the most probable ones, so that a budget was met."""


def is_zero(candidate: Mapping[str, Any]) -> bool:
    """Tell whether a candidate leaves its layer out."""
    return candidate.get('zero') is True


@dataclass(frozen=True, eq=False)
class PathArchitecture(RoutedArchitecture):
    """The outcome of a search of paths: a candidate for every domain in every searched layer.

    Domains share a node, a candidate of a layer, if and only if they pass it, whatever came before
    (MPNAS, WACV 2021): its parameters exist once. In a tree they would have to agree in all
    earlier layers too. Two architectures are equal if domains, encoder, candidates and routing
    are.

    Its attributes are those of :class:`RoutedArchitecture`, ``tasks`` being the domains, and
    ``candidates``. Layers that are not searched are in no routing.

    Example:
        >>> paths = PathArchitecture.from_routing(
        ...     ['digits', 'faces'], {'type': 'MobileNetV3PathEncoder'},
        ...     {'digits': [0, 1], 'faces': [1, 1]},
        ...     candidates=[[{'kernel': 3}, {'kernel': 5}], [{'kernel': 3}, {'zero': True}]])
        >>> paths.nodes(0), paths.nodes(1)
        (((0, ('digits',)), (1, ('faces',))), ((1, ('digits', 'faces')),))
        >>> float(paths.jaccard()[0, 1])
        0.3333333333333333

    Attributes:
        candidates: What each layer may be, of ``L`` layers; ``{'zero': True}`` leaves it out.

    Raises:
        InputError: If one of them has another form, or a routing names no candidate.
    """

    SHARING = 'node'
    MEANING = 'paths of domains, which share a node wherever they pass it'
    VERSION = 2

    candidates: tuple[tuple[Candidate, ...], ...] = field(kw_only=True)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains, another name of ``tasks``."""
        return self.tasks

    @cached_property
    def groupings(self) -> tuple[TaskGrouping, ...]:
        """Which domains pass the same node of each layer."""
        return tuple(map(TaskGrouping.from_labels, zip(*self.routing.values(), strict=False)))

    def differences(self, other: 'PathArchitecture') -> int:
        """Return in how many choices paths of the same domains and layers differ from others."""
        return sum(
            ours != theirs
            for domain in self.domains
            for ours, theirs in zip(self.routing[domain], other.routing[domain], strict=True)
        )

    def jaccard(self, zero_is_node: bool = True) -> np.ndarray:
        """Return how alike the paths are: nodes in both over nodes in either.

        Args:
            zero_is_node: Whether a layer left out counts as a node (the article doesn't say).

        Returns:
            Shape (D, D); two paths without any node are alike, 1.
        """
        paths = [
            {
                (layer, candidate)
                for layer, candidate in enumerate(self.routing[domain])
                if zero_is_node or not is_zero(self.candidates[layer][candidate])
            }
            for domain in self.domains
        ]
        return np.array([[len(a & b) / len(a | b) if a | b else 1.0 for b in paths] for a in paths])

    def describe(self) -> str:
        """Say in a line how many nodes the paths take, and how many of these are shared.

        Example:
            >>> paths = PathArchitecture.from_routing(
            ...     ['a', 'b'], {'type': 'E'}, {'a': [0, 0], 'b': [0, 1]},
            ...     candidates=[[{'kernel': 3}], [{'kernel': 3}, {'zero': True}]])
            >>> paths.describe()
            '2 paths through 2 layers, 2 nodes (1 shared): a 2, b 1'
        """
        nodes = [
            group
            for layer in range(self.num_layers)
            for candidate, group in self.nodes(layer)
            if not is_zero(self.candidates[layer][candidate])
        ]
        shared = sum(len(group) > 1 for group in nodes)
        lengths = [f'{domain} {sum(domain in group for group in nodes)}' for domain in self.domains]
        return (
            f'{len(self.domains)} path{"s" * (len(self.domains) > 1)} through {self.num_layers} '
            f'layer{"s" * (self.num_layers > 1)}, {len(nodes)} node{"s" * (len(nodes) != 1)} '
            f'({shared} shared): {", ".join(lengths)}'
        )

    def check_space(self, candidates: Any, name: str = 'the architecture') -> None:
        """Refuse a space other than the one in which the paths were found.

        Args:
            candidates: Those of the space at hand, by layer.
            name: What messages call the architecture.

        Raises:
            InputError: Its layers or their candidates differ.
        """
        given = plain_json(candidates, 'candidates')
        if len(given) != self.num_layers:
            raise InputError(
                f'{name} has {self.num_layers} searched layers, the encoder has {len(given)}: '
                'expected the encoder that was searched'
            )
        for layer, (own, other) in enumerate(zip(self.candidates, given, strict=True)):
            if [*own] != other:
                raise InputError(
                    f'{name}: candidates[{layer}]: {len(own)} of them, {_some(own)}; the encoder '
                    f'has {len(other)}, {_some(other)}: expected the encoder that was searched'
                )

    def _own(self) -> dict[str, Any]:
        return {'candidates': self.candidates}

    def _plain_own(self) -> dict[str, Any]:
        candidates = plain_json(self.candidates, 'candidates')
        if not (isinstance(candidates, list) and all(isinstance(c, list) for c in candidates)):
            raise InputError(f'candidates {candidates!r:.100}: expected a list for each layer')
        return {'candidates': tuple(map(tuple, candidates))}

    @classmethod
    def _own_of(cls, document: dict[str, Any]) -> dict[str, Any]:
        return {'candidates': document['candidates']}

    @property
    def _identity(self) -> tuple:
        """The values that equality compares."""
        space = json.dumps([self.encoder, self.candidates], sort_keys=True)
        return self.tasks, space, tuple(self.routing.values())


def _some(candidates: Any) -> str:
    """Write candidates for a message, not all if they are many."""
    text = json.dumps([*candidates])
    return text if len(text) <= 200 else f'{text[:200]} ...'
