"""The description of a backbone in a checkpoint, ``backbone._extra_state``."""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture, PathArchitecture, RoutedArchitecture
from mmbmtas.structures.routed import Routed

STATE = 'backbone._extra_state'
"""Where it lies in a checkpoint of a segmentor."""


class _Names(NamedTuple):
    """What messages call a kind of architecture."""

    network: str
    backbone: str
    other: str


_NAMES: dict[type, _Names] = {
    BranchedArchitecture: _Names('tree', 'a BranchedNetwork', 'another tree'),
    PathArchitecture: _Names('network of paths', 'a PathNetwork', 'other paths'),
}
_ANY = _Names('network', 'a BranchedNetwork or a PathNetwork', 'another architecture')

Kind = Literal['tree', 'search', 'exchange']


class ArchitectureState:
    """Puts the architecture of a retrained network into its checkpoints, and refuses another's.

    A network derives from this class before torch's.

    Attributes:
        architecture: What the network was built for.
    """

    architecture: RoutedArchitecture

    def get_extra_state(self) -> Tensor:
        """Return the architecture as JSON bytes, so that a checkpoint says what it holds."""
        return encode_json(self.architecture.to_dict())

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse weights of another architecture.

        Raises:
            InputError: The checkpoint was made for another.
        """
        own = self.architecture
        found = decode_architecture(state, 'the checkpoint', type(own))
        if found != own:
            raise InputError(
                f'the checkpoint holds {_NAMES[type(own)].other} than the config names:\n'
                f'checkpoint: {found.describe()}\nconfig: {own.describe()}\n'
                'Use the architecture that this checkpoint was trained with: architecture=FILE, '
                'which tools/export_architecture.py CHECKPOINT -o FILE writes.'
            )


def decode_architecture(state: Tensor, name: str, kind: type[Routed]) -> Routed:
    """Decode the architecture that a retrained network says it has.

    Args:
        state: The extra state of a checkpoint's backbone.
        name: What messages call the checkpoint.
        kind: The kind of architecture that is expected; :class:`RoutedArchitecture` is any.

    Raises:
        InputError: It is that of another kind of backbone, or damaged.
    """
    content = decode_json(state, name)
    found = kind_of(content)
    names = _NAMES.get(kind, _ANY)
    if found == 'exchange':
        raise InputError(
            f'{name} holds a {content["method"]} of the tasks {content.get("tasks")}, which has '
            f'no architecture: expected {names.backbone}'
        )
    if found == 'search':
        raise InputError(
            f'{name} comes from a search, with all candidates: expected the checkpoint of a '
            f'retrained {names.network} (architecture=FILE with the architecture.json that the '
            'search wrote)'
        )
    return kind.from_dict(content, name)


def kind_of(content: Mapping[str, Any]) -> Kind:
    """Tell what wrote a state: since version 0.1.0 its other keys do.

    Args:
        content: What :func:`decode_json` gave.

    Returns:
        ``exchange`` (:class:`TaskEncoders`, which name their ``method``), ``tree`` (a document of
        an architecture with its ``format``) or ``search`` (tasks and encoder alone).
    """
    if 'method' in content:
        return 'exchange'
    return 'tree' if 'format' in content else 'search'


def encode_json(content: dict[str, Any]) -> Tensor:
    """Encode JSON as a ``uint8`` tensor, which every checkpoint reader can carry."""
    return torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)


def decode_json(state: Any, where: str = 'the checkpoint') -> dict[str, Any]:
    """Decode what :func:`encode_json` made.

    Args:
        state: A tensor, if it is unchanged.
        where: The file, for messages.

    Raises:
        InputError: It holds something else.
    """
    message = f'{where}: the entry {STATE} is damaged'
    if not isinstance(state, Tensor) or state.dtype != torch.uint8 or state.dim() != 1:
        kind = state.dtype if isinstance(state, Tensor) else type(state).__name__
        raise InputError(f'{message}: expected a vector of bytes, found {kind}')
    try:
        content = json.loads(bytes(state.cpu().tolist()))
    except (ValueError, RecursionError) as error:
        raise InputError(f'{message}: {error}') from error
    if not isinstance(content, dict):
        raise InputError(f'{message}: expected an object, found {content!r:.60}')
    return content
