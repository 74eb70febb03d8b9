"""The tree inside a checkpoint."""

from dataclasses import replace
from os import PathLike
from pathlib import Path

from mmengine.runner import CheckpointLoader

from mmbmtas.checkpoints import require_finite
from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.models.backbones.state import STATE, decode_json, decode_tree, kind_of
from mmbmtas.structures import BranchedArchitecture

_ARCH_PARAMS = 'backbone.arch_params'


def architecture_of_checkpoint(path: str | PathLike) -> BranchedArchitecture:
    """Return the tree of a checkpoint's most probable candidates, or the one it was trained with.

    Nothing of the checkpoint is executed: its config, which is Python, is not read.

    Args:
        path: A checkpoint of a search or of a branched network.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The checkpoint is of neither.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path}: no such checkpoint')
    tree = find_architecture(path)
    if tree is None:
        raise InputError(
            f'{path} holds no tree: {STATE} is missing among its weights. Expected a checkpoint '
            'of a BranchedSupernet or a BranchedNetwork'
        )
    return tree


def find_architecture(path: str | PathLike) -> BranchedArchitecture | None:
    """Return the tree of a checkpoint, as above, or None where it is of another network.

    Raises:
        ValueError: The checkpoint can't be read, or its tree can't.
    """
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    weights = checkpoint.get('state_dict', {})
    if STATE not in weights:
        return None
    state = decode_json(weights[STATE], str(path))
    if kind_of(state) != 'search' or _ARCH_PARAMS not in weights:
        return decode_tree(weights[STATE], str(path))
    require_finite({_ARCH_PARAMS: weights[_ARCH_PARAMS]}, path)
    if missing := [key for key in ('tasks', 'encoder') if key not in state]:
        raise InputError(f'{path}: {STATE} names no {missing[0]}')
    meta = checkpoint.get('meta', {})
    details = {
        'checkpoint': Path(path).name,
        'iteration': meta.get('iter'),
        'seed': meta.get('seed'),
    }
    tree = BranchedArchitecture.from_arch_params(
        weights[_ARCH_PARAMS], tasks=state['tasks'], encoder=state['encoder'], source=details
    )
    # The search wrote its tree with the costs it had measured; they hold for the same tree only.
    written = meta.get('architecture')
    if written is not None:
        written = BranchedArchitecture.from_dict(written, path)
        if written == tree:
            return replace(tree, layers=written.layers, madds=written.madds)
    return tree
