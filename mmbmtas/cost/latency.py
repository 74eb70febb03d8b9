"""Tables of the time that each part of a multi-task network takes on some device.

``tools/analysis_tools/measure_latency.py`` writes the table, a small JSON document:

======================  ==========================================================================
key                     value
======================  ==========================================================================
``format``              ``"mmbmtas.latency"``
``version``             1
``tasks``               1 to 64 different names
``encoder``             the encoder's config, with its ``type``
``shape``               height and width of the input in pixels
``stem_ms``             milliseconds of the stem
``layers_ms``           for each encoder layer the milliseconds of 1, 2, ... copies of it together,
                        up to one copy per task
``decoders_ms``         for each task the milliseconds of its decoder
``measured``            null, or an object: device, versions, and how the network was run
======================  ==========================================================================
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.structures.documents import (
    MAX_LAYERS,
    MAX_TASKS,
    are_tasks,
    check_keys,
    expect,
    is_count,
    is_encoder,
    is_name,
    is_positive_number,
    list_of,
    read_document,
    write_document,
)

FORMAT = 'mmbmtas.latency'
VERSION = 1


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds of the parts of a multi-task network, at one input size, on one device.

    It holds times as :class:`~mmbmtas.cost.network.NetworkCost` holds multiply-adds. But several
    copies of a layer need not take a multiple of the time of one copy.

    Attributes:
        tasks: Task names.
        encoder: The encoder's config.
        shape: Height and width of the input in pixels.
        stem_ms: The stem, which every branched network has once.
        layers_ms: ``layers_ms[l][g - 1]``: ``g`` copies of layer ``l`` together, ``g`` from 1 to
            the number of tasks.
        decoders_ms: The decoder of each task.
        measured: Where and how it was measured.
    """

    tasks: tuple[str, ...]
    encoder: dict[str, Any]
    shape: tuple[int, int]
    stem_ms: float
    layers_ms: tuple[tuple[float, ...], ...]
    decoders_ms: Mapping[str, float]
    measured: dict[str, Any] | None = None

    @classmethod
    def load(cls, path: str | os.PathLike) -> 'LatencyTable':
        """Read a file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is not such a table. The message names the file, the key, the value found
                and the value expected.
        """
        return cls.from_dict(read_document(path), path)

    @classmethod
    def from_dict(
        cls, document: Any, where: str | os.PathLike = 'the latency table'
    ) -> 'LatencyTable':
        """Check a document and take its content; messages call it ``where``.

        Raises:
            ValueError: As for :meth:`load`.
        """
        check_keys(document, where, FORMAT, VERSION, CHECKS)
        tasks = document['tasks']
        for layer, row in enumerate(document['layers_ms']):
            expected = f'{len(tasks)} positive numbers, for 1 to {len(tasks)} copies'
            expect(len(row) == len(tasks), where, f'layers_ms[{layer}]', row, expected)
        found = document['decoders_ms']
        expect(sorted(found) == sorted(tasks), where, 'decoders_ms', [*found], f'{tasks}')
        height, width = document['shape']
        return cls(
            tuple(tasks),
            document['encoder'],
            (height, width),
            document['stem_ms'],
            tuple(map(tuple, document['layers_ms'])),
            found,
            document['measured'],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the document."""
        return {
            'format': FORMAT,
            'version': VERSION,
            'tasks': [*self.tasks],
            'encoder': dict(self.encoder),
            'shape': [*self.shape],
            'stem_ms': self.stem_ms,
            'layers_ms': [[*row] for row in self.layers_ms],
            'decoders_ms': dict(self.decoders_ms),
            'measured': self.measured,
        }

    def save(self, path: str | os.PathLike) -> None:
        """Write the document, whole or not at all."""
        write_document(self.to_dict(), path)

    @property
    def fixed_ms(self) -> float:
        """Time of the parts that no tree changes: the stem and the decoders."""
        return self.stem_ms + sum(self.decoders_ms.values())

    def shared(self) -> float:
        """Time of one encoder for all tasks, and a decoder per task."""
        return self._sum([1] * len(self.layers_ms))

    def all_apart(self) -> float:
        """Time of one stem, then an encoder and a decoder per task."""
        return self._sum([len(self.tasks)] * len(self.layers_ms))

    def tree(self, architecture: BranchedArchitecture) -> float:
        """Time of a branched network of all tasks.

        Raises:
            ValueError: If the architecture has another number of layers, or other tasks.
        """
        if sorted(architecture.tasks) != sorted(self.tasks) or architecture.num_layers != len(
            self.layers_ms
        ):
            raise InputError(
                f'the architecture has the tasks {[*architecture.tasks]} and '
                f'{architecture.num_layers} layers, the latency table {[*self.tasks]} and '
                f'{len(self.layers_ms)}'
            )
        return self._sum([grouping.num_groups for grouping in architecture.groupings])

    def _sum(self, copies: Sequence[int]) -> float:
        return self.fixed_ms + sum(
            row[n - 1] for row, n in zip(self.layers_ms, copies, strict=True)
        )

    def check_fits(
        self,
        tasks: Sequence[str],
        encoder: Mapping[str, Any],
        num_layers: int,
        shape: tuple[int, int],
    ) -> None:
        """Check that the table was measured for a network.

        Args:
            tasks: Its tasks, in any order.
            encoder: Config of its encoder.
            num_layers: Layers of that encoder.
            shape: Height and width of the input at which its costs are stated.

        Raises:
            ValueError: It was measured for another network; the message names the difference.
        """
        wanted = {
            'list of tasks': (sorted(self.tasks), sorted(tasks)),
            'encoder': (self.encoder, json.loads(json.dumps(dict(encoder)))),  # JSON has no tuples
            'number of layers': (len(self.layers_ms), num_layers),
            'input size': (self.shape, shape),
        }
        require_same(wanted)


def require_same(wanted: Mapping[str, tuple[Any, Any]]) -> None:
    """Refuse a latency table of another network.

    Args:
        wanted: What the table has and what the config has, by what it is.

    Raises:
        InputError: Two differ; names them.
    """
    for what, (found, expected) in wanted.items():
        if found != expected:
            raise InputError(
                f'the latency table is for another {what} than the config: {found}, expected '
                f'{expected}; tools/analysis_tools/measure_latency.py measures the right one'
            )


CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    'format': (is_name, 'text'),
    'version': (is_count, 'an integer'),
    'tasks': (are_tasks, f'1 to {MAX_TASKS} different identifiers'),
    'encoder': (is_encoder, 'an object with a "type"'),
    'shape': (
        lambda value: list_of(is_count)(value) and len(value) == 2 and 0 not in value,
        'height and width, two integers from 1',
    ),
    'stem_ms': (is_positive_number, 'a positive number'),
    'layers_ms': (
        lambda value: list_of(list_of(is_positive_number))(value) and 1 <= len(value) <= MAX_LAYERS,
        'for each layer a list of positive numbers',
    ),
    'decoders_ms': (
        lambda value: isinstance(value, dict) and all(map(is_positive_number, value.values())),
        'for each task a positive number',
    ),
    'measured': (lambda value: value is None or isinstance(value, dict), 'null or an object'),
}
