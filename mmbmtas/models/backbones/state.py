"""What a backbone says of itself in a checkpoint, as ``backbone._extra_state``."""

import json
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture, PathArchitecture
from mmbmtas.structures.routed import Routed

STATE = 'backbone._extra_state'
"""Where it lies in a checkpoint of a segmentor."""

_NAMES: dict[type, tuple[str, str]] = {
    BranchedArchitecture: ('tree', 'a BranchedNetwork'),
    PathArchitecture: ('network of paths', 'a PathNetwork'),
}
"""What messages call networks of a kind of architecture, and their backbone."""

Kind = Literal['tree', 'search', 'exchange']


def decode_tree(state: Tensor, name: str = 'the checkpoint') -> BranchedArchitecture:
    """Decode what :meth:`BranchedNetwork.get_extra_state` gave; see :func:`decode_architecture`."""
    return decode_architecture(state, name, BranchedArchitecture)


def decode_paths(state: Tensor, name: str = 'the checkpoint') -> PathArchitecture:
    """Decode what :meth:`PathNetwork.get_extra_state` gave; see :func:`decode_architecture`."""
    return decode_architecture(state, name, PathArchitecture)


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
    network, backbone = _NAMES.get(kind, ('network', 'a BranchedNetwork or a PathNetwork'))
    if found == 'exchange':
        raise InputError(
            f'{name} holds a {content["method"]} of the tasks {content.get("tasks")}, which is no '
            f'tree: expected {backbone}'
        )
    if found == 'search':
        raise InputError(
            f'{name} is of a search, with all candidates: expected one of a retrained '
            f'{network} (architecture=FILE with the architecture.json that the search wrote)'
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
