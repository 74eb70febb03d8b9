"""A branched architecture: which tasks share which encoder layers, as a fixed tree."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from mmbmtas.errors import InputError
from mmbmtas.structures.routed import RoutedArchitecture
from mmbmtas.structures.task_grouping import TaskGrouping


@dataclass(frozen=True, eq=False)
class BranchedArchitecture(RoutedArchitecture):
    """The outcome of a search: a candidate for every task in every encoder layer.

    Tasks share a layer's computation if and only if their routings agree up to and including it
    (paper, section 3.1), so every routing forms a tree. Two architectures are equal if tasks,
    encoder and tree are: which candidates a routing takes, layer names, costs and source don't
    matter.

    Example:
        >>> tree = BranchedArchitecture.from_routing(
        ...     ['semseg', 'depth'], {'type': 'MobileNetV2Encoder'},
        ...     {'semseg': [0, 0, 1], 'depth': [0, 1, 1]})
        >>> [str(grouping) for grouping in tree.groupings]
        ['{0,1}', '{0}{1}', '{0}{1}']

    Its attributes are those of :class:`RoutedArchitecture`; in ``madds``, ``network`` are the
    multiply-adds of the whole network, ``layers`` those of one copy of each layer.

    Raises:
        ValueError: If one of them has another form.
    """

    SHARING = 'prefix'
    MEANING = 'a tree, in which tasks share a layer while their routings agree'
    VERSION = 1

    @classmethod
    def from_groupings(
        cls,
        tasks: Sequence[str],
        encoder: Mapping[str, Any],
        groupings: Sequence[TaskGrouping],
        **details: Any,
    ) -> 'BranchedArchitecture':
        """Build from a tree; every group takes the candidate of its first task.

        Raises:
            ValueError: If the groupings are not of these tasks, or groups merge again.
        """
        for layer, grouping in enumerate(groupings):
            if grouping.num_tasks != len(tasks):
                raise InputError(
                    f'layer {layer} groups {grouping.num_tasks} tasks, expected {len(tasks)}'
                )
            if layer and not grouping.refines(groupings[layer - 1]):
                raise InputError(
                    f'layer {layer}: {grouping} merges tasks that were apart in layer '
                    f'{layer - 1}, {groupings[layer - 1]}'
                )
        routing = {
            name: [grouping.group_of(task)[0] for grouping in groupings]
            for task, name in enumerate(tasks)
        }
        return cls.from_routing(tasks, encoder, routing, **details)

    @classmethod
    def shared(
        cls, tasks: Sequence[str], encoder: Mapping[str, Any], num_layers: int, **details: Any
    ) -> 'BranchedArchitecture':
        """One encoder for all tasks."""
        groupings = [TaskGrouping.shared(len(tasks))] * num_layers
        return cls.from_groupings(tasks, encoder, groupings, **details)

    @classmethod
    def all_apart(
        cls, tasks: Sequence[str], encoder: Mapping[str, Any], num_layers: int, **details: Any
    ) -> 'BranchedArchitecture':
        """An encoder of its own for every task, behind the shared stem."""
        groupings = [TaskGrouping.all_apart(len(tasks))] * num_layers
        return cls.from_groupings(tasks, encoder, groupings, **details)

    @classmethod
    def from_arch_params(
        cls,
        arch_params: torch.Tensor | ArrayLike,
        tasks: Sequence[str],
        encoder: Mapping[str, Any],
        **details: Any,
    ) -> 'BranchedArchitecture':
        """Take each task's most probable candidate; on a tie the first (paper, section 3.2).

        Args:
            arch_params: Architecture parameters or probabilities, shape (layers, tasks,
                candidates).
            tasks: Task names, one for each position of the second axis.
            encoder: The encoder's config.
            **details: ``layers``, ``madds`` and ``source``.

        Raises:
            ValueError: If the array has another shape or holds numbers that are not finite.
        """
        values = torch.as_tensor(arch_params).detach().cpu().double().numpy()
        if values.ndim != 3 or values.shape[1] != len(tasks) or 0 in values.shape:
            raise InputError(
                f'architecture parameters have shape {values.shape}, expected (layers, '
                f'{len(tasks)} tasks, candidates)'
            )
        if not np.isfinite(values).all():
            raise InputError('architecture parameters hold numbers that are not finite')
        chosen = values.argmax(axis=2).T.tolist()
        return cls.from_routing(tasks, encoder, dict(zip(tasks, chosen, strict=True)), **details)

    @cached_property
    def groupings(self) -> tuple[TaskGrouping, ...]:
        """Which tasks share each layer; each refines the one before."""
        labels = [0] * len(self.routing)
        groupings = []
        for candidates in zip(*self.routing.values(), strict=False):
            grouping = TaskGrouping.from_labels(zip(labels, candidates, strict=True))
            labels = [*grouping.labels]
            groupings.append(grouping)
        return tuple(groupings)

    def describe(self) -> str:
        """Say in a line what is shared where, for messages and logs.

        Example:
            >>> tree = BranchedArchitecture.from_routing(
            ...     ['semseg', 'depth'], {'type': 'MobileNetV2Encoder'},
            ...     {'semseg': [0, 0, 1], 'depth': [0, 1, 1]})
            >>> tree.describe()
            '1 x {semseg, depth}, 2 x {semseg} {depth}'
        """
        runs = [
            (len([*layers]), grouping) for grouping, layers in itertools.groupby(self.groupings)
        ]
        return ', '.join(
            f'{length} x '
            + ' '.join(
                '{' + ', '.join(self.tasks[task] for task in group) + '}'
                for group in grouping.groups
            )
            for length, grouping in runs
        )

    @property
    def _identity(self) -> tuple:
        """The values that equality compares."""
        return self.tasks, json.dumps(self.encoder, sort_keys=True), self.groupings
