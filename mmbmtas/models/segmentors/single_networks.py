"""Starting weights from trained single-task networks, for encoders that exchange features."""

from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from torch import nn

from mmbmtas.errors import InputError
from mmbmtas.losses.balancing import without_balancing
from mmbmtas.models.backbones import BranchedNetwork, ExchangeNetwork
from mmbmtas.models.single_networks import read_single_network


def load_single_networks(
    backbone: Any, decode_heads: Mapping[str, nn.Module], checkpoints: Mapping[str, str]
) -> None:
    """Copy the encoder and the decoder of each task from a single-task network's checkpoint.

    Args:
        backbone: The encoders, an :class:`ExchangeNetwork`; its units stay as they are.
        decode_heads: The decoder of each task.
        checkpoints: For each task the checkpoint of a ``MultiTaskEncoderDecoder`` with a
            ``BranchedNetwork`` of this task alone, read without executing anything.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The backbone starts from no such networks, the tasks are others than its own, or
            a checkpoint is of another encoder, of other tasks or of another decoder; names it.
    """
    if not isinstance(backbone, ExchangeNetwork):
        raise InputError(
            f'single_checkpoints: {type(backbone).__name__} does not start from single-task '
            'networks; CrossStitchNetwork and NDDRCNN do'
        )
    if set(checkpoints) != set(backbone.tasks):
        raise InputError(
            f'single_checkpoints names the tasks {sorted(checkpoints)}, expected a checkpoint for '
            f'each of {list(backbone.tasks)}'
        )
    for task in backbone.tasks:
        _load(checkpoints[task], task, backbone.encoders[task], decode_heads[task])
        print_log(
            f'Encoder and decoder of {task} loaded from {checkpoints[task]}.', logger='current'
        )


def _load(path: str, task: str, encoder: BranchedNetwork, head: nn.Module) -> None:
    """Copy one task's network."""
    weights = read_single_network(path, task, encoder.encoder)
    weights = {k: v for k, v in weights.items() if not k.startswith('auxiliary_heads.')}
    network = nn.ModuleDict({'backbone': encoder, 'decode_heads': nn.ModuleDict({task: head})})
    try:
        network.load_state_dict(without_balancing(weights))
    except RuntimeError as error:
        raise InputError(f'{path} does not fit the network of {task!r}: {error}') from error
