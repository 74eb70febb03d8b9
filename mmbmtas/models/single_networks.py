"""Checkpoints of networks of a single task, from which others start or are compared."""

from collections.abc import Mapping
from os import PathLike

from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmbmtas.checkpoints import require_finite
from mmbmtas.encoders import Encoder, check_fits
from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture

from .backbones.state import STATE, decode_architecture


def read_single_network(path: str | PathLike, task: str, encoder: Encoder) -> dict[str, Tensor]:
    """Read the weights of a single-task network, encoder and decoder.

    Args:
        path: Checkpoint of a ``MultiTaskEncoderDecoder`` with a ``BranchedNetwork`` of this task
            alone, read without executing anything.
        task: The task it was trained for.
        encoder: The encoder it must have.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is of another encoder, of other tasks or of another kind, or holds numbers
            that are not finite; names it.
    """
    content = CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='current')
    weights = content.get('state_dict', {}) if isinstance(content, Mapping) else {}
    if STATE not in weights:
        raise InputError(
            f'{path} is no single-task network of {task!r}: {STATE} is missing among its '
            f'{len(weights)} entries'
        )
    tree = decode_architecture(weights[STATE], str(path), BranchedArchitecture)
    if tree.tasks != (task,):
        raise InputError(
            f'{path} holds a network of the tasks {[*tree.tasks]}, expected one of {task!r} alone'
        )
    check_fits(tree, encoder, str(path))
    require_finite(weights, path)
    return dict(weights)
