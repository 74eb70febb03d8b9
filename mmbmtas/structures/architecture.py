"""A branched architecture: which tasks share which encoder layers, as a fixed tree."""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from mmbmtas.errors import InputError
from mmbmtas.structures.architecture_file import FORMAT, VERSION, check_document
from mmbmtas.structures.documents import expect, plain_json, read_document, write_document
from mmbmtas.structures.task_grouping import TaskGrouping


@dataclass(frozen=True, eq=False)
class BranchedArchitecture:
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

    Attributes:
        tasks: 1 to 64 different task names, in the order of the architecture parameters.
        encoder: The encoder's config; JSON values only.
        routing: Each task's candidate in each of the ``L`` layers.
        layers: A name for each layer, if known.
        madds: What the architecture costs, if known: ``shape`` of the input, ``network``
            (multiply-adds), ``layers`` (multiply-adds of one copy of each layer), ...
        source: Where the architecture came from.

    Raises:
        ValueError: If one of them has another form.
    """

    tasks: tuple[str, ...]
    encoder: dict[str, Any]
    routing: dict[str, tuple[int, ...]]
    layers: tuple[str, ...] | None = None
    madds: dict[str, Any] | None = None
    source: str | dict[str, Any] | None = None

    def __post_init__(self) -> None:
        tasks = tuple(self.tasks)
        if set(self.routing) != set(tasks):
            raise InputError(f'routing has the tasks {[*self.routing]}, expected {[*tasks]}')
        routing = {task: tuple(self.routing[task]) for task in tasks}
        plain = {
            'tasks': tasks,
            'routing': routing,
            'layers': None if self.layers is None else tuple(self.layers),
            'encoder': plain_json(self.encoder, 'encoder'),
            'madds': plain_json(self.madds, 'madds'),
            'source': plain_json(self.source, 'source'),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        check_document(self.to_dict(), type(self).__name__)

    @classmethod
    def from_routing(
        cls,
        tasks: Sequence[str],
        encoder: Mapping[str, Any],
        routing: Mapping[str, Sequence[int]],
        **details: Any,
    ) -> 'BranchedArchitecture':
        """Build from each task's candidates; ``details`` are ``layers``, ``madds``, ``source``."""
        plain = {task: tuple(np.asarray(routing[task]).tolist()) for task in routing}
        return cls(tuple(tasks), dict(encoder), plain, **details)

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

    @property
    def num_layers(self) -> int:
        """Number of encoder layers ``L``."""
        return max(map(len, self.routing.values()), default=0)

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

    def branches(self, layer: int) -> tuple[tuple[str, ...], ...]:
        """Name the tasks of each group at a layer, counted from 0."""
        return tuple(
            tuple(self.tasks[task] for task in group) for group in self.groupings[layer].groups
        )

    def canonical(self) -> 'BranchedArchitecture':
        """Return the same tree with every group at the candidate of its first task."""
        details = {'layers': self.layers, 'madds': self.madds, 'source': self.source}
        return self.from_groupings(self.tasks, self.encoder, self.groupings, **details)

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

    def for_tasks(self, tasks: Sequence[str]) -> 'BranchedArchitecture':
        """Keep some tasks only, in the order given, to serve them alone; ``madds`` is dropped.

        Raises:
            ValueError: If a task is not one of this architecture's.
        """
        if unknown := [task for task in tasks if task not in self.tasks]:
            raise InputError(f'no tasks {unknown} among {[*self.tasks]}')
        routing = {task: self.routing[task] for task in tasks}
        return self.from_routing(
            tasks, self.encoder, routing, layers=self.layers, source=self.source
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the document that the file holds, see :mod:`.architecture_file`."""
        return {
            'format': FORMAT,
            'version': VERSION,
            'tasks': [*self.tasks],
            'encoder': deepcopy(self.encoder),
            'num_layers': self.num_layers,
            'layers': None if self.layers is None else [*self.layers],
            'routing': {task: [*self.routing[task]] for task in self.tasks},
            'groupings': [
                [[self.tasks[task] for task in group] for group in grouping.groups]
                for grouping in self.groupings
            ],
            'madds': deepcopy(self.madds),
            'source': deepcopy(self.source),
        }

    @classmethod
    def from_dict(
        cls, document: Any, where: str | os.PathLike = 'architecture'
    ) -> 'BranchedArchitecture':
        """Build from a document, checking all of it; ``where`` names it in messages.

        Raises:
            ValueError: If anything is missing, unknown, of another form or contradicts the rest.
        """
        check_document(document, where)
        details = {key: document[key] for key in ('layers', 'madds', 'source')}
        architecture = cls.from_routing(
            document['tasks'], document['encoder'], document['routing'], **details
        )
        for layer, found in enumerate(document['groupings']):
            expected = [[*group] for group in architecture.branches(layer)]
            same = sorted(map(sorted, found)) == sorted(map(sorted, expected))
            key = f'groupings[{layer}]'
            expect(same, where, key, found, f'{expected}, as the routing has it')
        return architecture

    def save(self, path: str | os.PathLike) -> None:
        """Write ``architecture.json``; a file that was there is replaced only by a whole one."""
        write_document(self.to_dict(), path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> 'BranchedArchitecture':
        """Read ``architecture.json``, which may come from a stranger: all of it is checked.

        Raises:
            ValueError: If the file is too large, not JSON or not an architecture; the message
                names the file, the key, what was found and what was expected.
        """
        return cls.from_dict(read_document(path), path)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BranchedArchitecture):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple:
        """What equality is about."""
        return self.tasks, json.dumps(self.encoder, sort_keys=True), self.groupings


def as_architecture(
    architecture: str | os.PathLike | dict[str, Any] | BranchedArchitecture,
) -> BranchedArchitecture:
    """Return the tree behind a path, a dictionary, or the tree itself."""
    if isinstance(architecture, BranchedArchitecture):
        return architecture
    if isinstance(architecture, dict):
        return BranchedArchitecture.from_dict(dict(architecture))
    return BranchedArchitecture.load(architecture)
