"""The base of searched architectures: each task's candidate in every layer, and the file."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from mmbmtas.errors import InputError
from mmbmtas.structures.architecture_file import FORMAT, check_document
from mmbmtas.structures.documents import expect, fail, plain_json, read_document, write_document
from mmbmtas.structures.task_grouping import TaskGrouping

Routed = TypeVar('Routed', bound='RoutedArchitecture')


@dataclass(frozen=True, eq=False)
class RoutedArchitecture(ABC):
    """A candidate for every task in every layer; subclasses say which tasks share a layer.

    Attributes:
        tasks: 1 to 64 different names, in the order of the architecture parameters.
        encoder: The encoder's config; JSON values only.
        routing: Each task's candidate in each of the ``L`` layers.
        layers: A name for each layer, if known.
        madds: What the architecture costs, if known, see :mod:`.architecture_file`.
        source: Where the architecture came from.

    Raises:
        InputError: If one of them has another form.
    """

    SHARING: ClassVar[str]
    """What the file calls the rule by which tasks share, ``prefix`` or ``node``."""
    MEANING: ClassVar[str]
    """What messages call an architecture of this kind."""
    VERSION: ClassVar[int]
    """The version of the file that is written."""
    _KINDS: ClassVar[dict[str, type['RoutedArchitecture']]] = {}

    tasks: tuple[str, ...]
    encoder: dict[str, Any]
    routing: dict[str, tuple[int, ...]]
    layers: tuple[str, ...] | None = None
    madds: dict[str, Any] | None = None
    source: str | dict[str, Any] | None = None

    def __init_subclass__(cls) -> None:
        cls._KINDS[cls.SHARING] = cls

    def __post_init__(self) -> None:
        tasks = tuple(self.tasks)
        if set(self.routing) != set(tasks):
            raise InputError(f'routing has the tasks {[*self.routing]}, expected {[*tasks]}')
        plain = {
            'tasks': tasks,
            'routing': {task: tuple(self.routing[task]) for task in tasks},
            'layers': None if self.layers is None else tuple(self.layers),
            'encoder': plain_json(self.encoder, 'encoder'),
            'madds': plain_json(self.madds, 'madds'),
            'source': plain_json(self.source, 'source'),
            **self._plain_own(),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        check_document(self.to_dict(), type(self).__name__)

    @classmethod
    def from_routing(
        cls: type[Routed],
        tasks: Sequence[str],
        encoder: Mapping[str, Any],
        routing: Mapping[str, Sequence[int]],
        **details: Any,
    ) -> Routed:
        """Build from each task's candidates; ``details`` are the other attributes."""
        plain = {task: tuple(np.asarray(routing[task]).tolist()) for task in routing}
        return cls(tuple(tasks), dict(encoder), plain, **details)

    @property
    def num_layers(self) -> int:
        """Number of layers ``L`` that the routing has."""
        return max(map(len, self.routing.values()), default=0)

    @property
    @abstractmethod
    def groupings(self) -> tuple[TaskGrouping, ...]:
        """Which tasks share each layer."""

    def branches(self, layer: int) -> tuple[tuple[str, ...], ...]:
        """Name the tasks of each group at a layer, counted from 0."""
        return tuple(
            tuple(self.tasks[task] for task in group) for group in self.groupings[layer].groups
        )

    def nodes(self, layer: int) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """Return what runs in a layer, counted from 0: candidates, and the tasks of each."""
        branches = self.branches(layer)
        return tuple(sorted((self.routing[group[0]][layer], group) for group in branches))

    @abstractmethod
    def describe(self) -> str:
        """Say in a line what is shared where, for messages and logs."""

    def for_tasks(self: Routed, tasks: Sequence[str]) -> Routed:
        """Keep some tasks only, in the order given, to serve them alone; ``madds`` is dropped.

        Raises:
            InputError: If a task is not one of this architecture's.
        """
        if unknown := [task for task in tasks if task not in self.tasks]:
            raise InputError(f'no tasks {unknown} among {[*self.tasks]}')
        routing = {task: self.routing[task] for task in tasks}
        details = {'layers': self.layers, 'source': self.source, **self._own()}
        return self.from_routing(tasks, self.encoder, routing, **details)

    def to_dict(self) -> dict[str, Any]:
        """Return the document that the file holds, see :mod:`.architecture_file`."""
        later = {'sharing': self.SHARING} if self.VERSION > 1 else {}
        return {
            'format': FORMAT,
            'version': self.VERSION,
            **later,
            'tasks': [*self.tasks],
            'encoder': deepcopy(self.encoder),
            'num_layers': self.num_layers,
            'layers': None if self.layers is None else [*self.layers],
            **{key: plain_json(value, key) for key, value in self._own().items()},
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
        cls: type[Routed], document: Any, where: str | os.PathLike = 'architecture'
    ) -> Routed:
        """Build from a document, checking all of it; ``where`` names it in messages.

        The kind follows from the document; called on a kind, it refuses the others.

        Raises:
            InputError: If anything is missing, unknown, of another form or contradicts the rest.
        """
        check_document(document, where)
        sharing = document.get('sharing', 'prefix')
        kind = cls._KINDS[sharing]
        if not issubclass(kind, cls):
            fail(
                where,
                'sharing' if 'sharing' in document else 'version',
                f'{sharing!r}, {kind.MEANING}' if 'sharing' in document else f'1, {kind.MEANING}',
                f'{cls.MEANING} (version {cls.VERSION}, sharing {cls.SHARING!r})',
            )
        details = {key: document[key] for key in ('layers', 'madds', 'source')}
        details |= kind._own_of(document)
        architecture = kind.from_routing(
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
    def load(cls: type[Routed], path: str | os.PathLike) -> Routed:
        """Read ``architecture.json``; the file is untrusted, so all of it is checked.

        Raises:
            InputError: If the file is too large, not JSON or not an architecture of this kind; the
                message names the file, the key, what was found and what was expected.
        """
        return cls.from_dict(read_document(path), path)

    @classmethod
    def of(
        cls: type[Routed], architecture: 'str | os.PathLike | dict[str, Any] | RoutedArchitecture'
    ) -> Routed:
        """Return the architecture behind a path, a dictionary, or the architecture itself.

        Raises:
            InputError: It is of another kind, or none.
        """
        if isinstance(architecture, cls):
            return architecture
        if isinstance(architecture, RoutedArchitecture):
            raise InputError(
                f'the architecture of {[*architecture.tasks]} is {architecture.MEANING}, '
                f'expected {cls.MEANING}'
            )
        if isinstance(architecture, dict):
            return cls.from_dict(dict(architecture))
        return cls.load(architecture)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    @abstractmethod
    def _identity(self) -> tuple:
        """The values that equality compares."""

    def _own(self) -> dict[str, Any]:
        """Return the attributes that this kind has beside those of all."""
        return {}

    def _plain_own(self) -> dict[str, Any]:
        """Return the same with plain, immutable values."""
        return {}

    @classmethod
    def _own_of(cls, document: dict[str, Any]) -> dict[str, Any]:
        """Return the same out of a document that was checked."""
        return {}


def as_architecture(
    architecture: str | os.PathLike | dict[str, Any] | RoutedArchitecture,
) -> RoutedArchitecture:
    """Return the tree or the paths behind a file, a dictionary, or the architecture itself.

    Raises:
        InputError: It is neither.
    """
    return RoutedArchitecture.of(architecture)
