"""Weights of some of a trained tree's tasks, for a network that serves these alone."""

from collections.abc import Mapping
from typing import Any

from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmbmtas.checkpoints import require_finite
from mmbmtas.structures import BranchedArchitecture

from .pretrained import require_pretrained
from .state import STATE, decode_architecture, decode_json, encode_json, kind_of

_PREFIX, _, _STATE = STATE.rpartition('.')


def branches_of(
    tree: BranchedArchitecture, num_layers: int, weights: Mapping[str, Any], prefix: str
) -> dict[str, Any]:
    """Rename the branches on the way of a tree's tasks to those of the tree.

    Args:
        tree: The tree of the network that is to have the weights.
        num_layers: Number of its layers that it has.
        weights: Weights of a ``BranchedNetwork``, perhaps of more tasks or layers, and others.
        prefix: Beginning of the network's names.

    Returns:
        The weights; unchanged where the network is of the same tree, or of one that does not
        contain this, which loading then refuses.
    """
    state = weights.get(f'{prefix}{_STATE}')
    if state is None or kind_of(content := decode_json(state)) != 'tree':
        return dict(weights)
    found = BranchedArchitecture.from_dict(content, 'the checkpoint')
    is_part = {*tree.tasks} <= {*found.tasks} and found.for_tasks(tree.tasks) == tree
    if not is_part or (found == tree and num_layers == tree.num_layers):
        return dict(weights)
    start = f'{prefix}layers.'
    own = {name: value for name, value in weights.items() if not name.startswith(start)}
    for index, grouping in enumerate(tree.groupings[:num_layers]):
        labels = found.groupings[index].labels
        for branch, group in enumerate(grouping.groups):
            place = labels[found.tasks.index(tree.tasks[group[0]])]
            there, here = f'{start}{index}.{place}.', f'{start}{index}.{branch}.'
            own |= {
                here + name.removeprefix(there): value
                for name, value in weights.items()
                if name.startswith(there)
            }
    own[f'{prefix}{_STATE}'] = encode_json(tree.to_dict())
    return own


def trained_weights(init_cfg: Mapping[str, Any] | None) -> dict[str, Tensor] | None:
    """Read the backbone of a trained tree that an ``init_cfg`` names, or None for other weights.

    Raises:
        InputError: The ``init_cfg`` is of another kind, or its checkpoint is of a search or of
            encoders that exchange features, damaged, or not finite.
    """
    if init_cfg is None:
        return None
    require_pretrained(init_cfg)
    path = init_cfg['checkpoint']
    content = CheckpointLoader.load_checkpoint(path, map_location='cpu', logger='current')
    weights = content.get('state_dict', content)
    if STATE not in weights:
        return None
    decode_architecture(weights[STATE], path, BranchedArchitecture)
    start = f'{_PREFIX}.'
    own = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
    require_finite(own, path)
    return own
