"""What a backbone says of itself in a checkpoint, as ``backbone._extra_state``."""

import json
from typing import Any

import torch
from torch import Tensor

from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture


def decode_tree(state: Tensor, name: str = 'the checkpoint') -> BranchedArchitecture:
    """Decode what :meth:`BranchedNetwork.get_extra_state` gave.

    Args:
        state: The extra state of a checkpoint's backbone.
        name: What messages call the checkpoint.

    Raises:
        ValueError: It is that of another kind of backbone, or damaged.
    """
    content = decode_json(state, name)
    if 'method' in content:  # see TaskEncoders
        raise InputError(
            f'{name} holds a {content["method"]} of the tasks {content.get("tasks")}, which is no '
            'tree: expected a BranchedNetwork'
        )
    if 'format' not in content:  # see BranchedSupernet
        raise InputError(
            f'{name} is of a search, with all candidates: expected one of a retrained tree '
            '(architecture=FILE with the architecture.json that the search wrote)'
        )
    return BranchedArchitecture.from_dict(content, name)


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
    message = f'{where}: the entry backbone._extra_state is damaged'
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
