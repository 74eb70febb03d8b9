"""Tables of the time that each candidate of a network of paths takes on some device.

``tools/analysis_tools/measure_latency.py`` writes the table, a small JSON document as that of
:mod:`mmbmtas.cost.latency`, of version 2:

======================  ==========================================================================
key                     value
======================  ==========================================================================
``format``              ``"mmbmtas.latency"``
``version``             2
``domains``             the tasks of each domain
``encoder``             the encoder's config, with its ``type``
``shape``               height and width of the input in pixels
``stem_ms``             milliseconds of the stem
``candidates_ms``       for each searched layer the milliseconds of each of its candidates; of one
                        that leaves the layer out 0
``context_ms``          milliseconds of the last layer
``decoders_ms``         for each task the milliseconds of its decoder
``measured``            null, or an object: device, versions, and how the network was run
======================  ==========================================================================
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from mmbmtas.structures.documents import (
    MAX_LAYERS,
    MAX_TASKS,
    are_tasks,
    check_keys,
    expect,
    is_amount,
    is_positive_number,
    list_of,
    read_document,
    write_document,
)

from .latency import CHECKS, FORMAT, require_same

VERSION = 2


@dataclass(frozen=True)
class PathLatencyTable:
    """Milliseconds of the parts of a network of paths, at one input size, on one device.

    Attributes:
        domains: Tasks of each domain.
        encoder: The encoder's config.
        shape: Height and width of the input in pixels.
        stem_ms: The stem, which all paths begin with.
        candidates_ms: Each candidate of each searched layer.
        context_ms: The last layer, which all paths end with.
        decoders_ms: The decoder of each task.
        measured: Where and how it was measured.
    """

    domains: Mapping[str, Sequence[str]]
    encoder: dict[str, Any]
    shape: tuple[int, int]
    stem_ms: float
    candidates_ms: tuple[tuple[float, ...], ...]
    context_ms: float
    decoders_ms: Mapping[str, float]
    measured: dict[str, Any] | None = None

    @classmethod
    def load(cls, path: str | os.PathLike) -> 'PathLatencyTable':
        """Read a file.

        Raises:
            FileNotFoundError: There is no such file.
            InputError: It is not such a table. The message names the file, the key, the value found
                and the value expected.
        """
        return cls.from_dict(read_document(path), path)

    @classmethod
    def of(cls, value: Any) -> 'PathLatencyTable':
        """Return the table of a file's path, or of its content.

        Raises:
            FileNotFoundError: As for :meth:`load`.
            InputError: As for :meth:`load`.
        """
        if isinstance(value, str | os.PathLike):
            return cls.load(value)
        return cls.from_dict(dict(value) if isinstance(value, Mapping) else value)

    @classmethod
    def from_dict(
        cls, document: Any, where: str | os.PathLike = 'the latency table'
    ) -> 'PathLatencyTable':
        """Check a document and take its content; messages call it ``where``.

        Raises:
            InputError: As for :meth:`load`.
        """
        check_keys(document, where, FORMAT, VERSION, _CHECKS)
        tasks = [task for own in document['domains'].values() for task in own]
        once = f'each task once, found {tasks}'
        expect(are_tasks(tasks), where, 'domains', document['domains'], once)
        found = document['decoders_ms']
        expect(sorted(found) == sorted(tasks), where, 'decoders_ms', [*found], f'{tasks}')
        height, width = document['shape']
        own = {key: value for key, value in document.items() if key not in ('format', 'version')}
        own['candidates_ms'] = tuple(map(tuple, document['candidates_ms']))
        return cls(**{**own, 'shape': (height, width)})

    def to_dict(self) -> dict[str, Any]:
        """Return the document."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {'format': FORMAT, 'version': VERSION, **plain}

    def save(self, path: str | os.PathLike) -> None:
        """Write the document, whole or not at all."""
        write_document(self.to_dict(), path)

    def table(self) -> Tensor:
        """Return the times of the candidates, ``(L, C)``, float64, padded with zeros."""
        most = max(map(len, self.candidates_ms))
        rows = [[*row] + [0.0] * (most - len(row)) for row in self.candidates_ms]
        return torch.tensor(rows, dtype=torch.float64)

    def fixed_of(self, domain: str) -> float:
        """Return the time of what a domain's images pass on any path, with its decoders."""
        decoders = sum(self.decoders_ms[task] for task in self.domains[domain])
        return self.stem_ms + self.context_ms + decoders

    def path(self, domain: str, path: Sequence[int]) -> float:
        """Return the time of a domain's network.

        Args:
            domain: One of the domains.
            path: The candidate of each searched layer.
        """
        nodes = sum(row[c] for row, c in zip(self.candidates_ms, path, strict=True))
        return self.fixed_of(domain) + nodes

    def check_fits(
        self,
        domains: Mapping[str, Sequence[str]],
        encoder: Mapping[str, Any],
        num_candidates: Sequence[int],
        shape: tuple[int, int],
    ) -> None:
        """Check that the table was measured for a network.

        Args:
            domains: Tasks of each domain of the network; the table may have more domains.
            encoder: Config of its encoder.
            num_candidates: Candidates of each searched layer.
            shape: Height and width of the input at which its costs are stated.

        Raises:
            InputError: It was measured for another network; the message names the difference.
        """
        own = {name: [*self.domains.get(name, ())] for name in domains}
        wanted = {
            'list of domains': (own, {name: [*tasks] for name, tasks in domains.items()}),
            'encoder': (self.encoder, json.loads(json.dumps(dict(encoder)))),  # JSON has no tuples
            'number of candidates': ([*map(len, self.candidates_ms)], [*num_candidates]),
            'input size': (tuple(self.shape), tuple(shape)),
        }
        require_same(wanted)


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **{key: CHECKS[key] for key in ('format', 'version')},
    'domains': (
        lambda value: (
            isinstance(value, dict)
            and 1 <= len(value) <= MAX_TASKS
            and all(map(are_tasks, value.values()))
        ),
        'the tasks of each domain',
    ),
    **{key: CHECKS[key] for key in ('encoder', 'shape', 'stem_ms')},
    'candidates_ms': (
        lambda value: (
            list_of(list_of(is_amount))(value) and 1 <= len(value) <= MAX_LAYERS and all(value)
        ),
        'for each layer a list of numbers from 0',
    ),
    'context_ms': (is_positive_number, 'a positive number'),
    **{key: CHECKS[key] for key in ('decoders_ms', 'measured')},
}
