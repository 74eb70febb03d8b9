"""Faster inference of a trained network with the same predictions."""

from typing import Any, TypeVar

import torch
from mmcv.cnn import fuse_conv_bn as fold_norms
from mmengine.device import get_device
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.errors import InputError

Network = TypeVar('Network', bound=nn.Module)


def prepare_for_inference(
    network: Network, fuse_conv_bn: bool = False, channels_last: bool = False
) -> Network:
    """Set a network to evaluation and change, in place, how it computes.

    Args:
        network: The network, with the weights that it will keep: with its normalisations gone, it
            can be trained no more, nor can its checkpoints be loaded into it.
        fuse_conv_bn: Whether to fold batch normalisations into the convolutions before them
            (``mmcv.cnn.fuse_conv_bn``).
        channels_last: Whether to hold features with the channels innermost.

    Returns:
        The network.

    Raises:
        ValueError: ``fuse_conv_bn`` is set, and the network has normalisations that can't be
            folded: without affine parameters, as in a supernet, with statistics by domain of which
            none was chosen, with an activation inside, or with no convolution before them.
    """
    if fuse_conv_bn:
        bare = [name for name, norm in _norms(network) if not _is_foldable(norm)]
        if not bare:
            fold_norms(network.eval())
        if left := bare or [name for name, _ in _norms(network)]:
            raise InputError(
                f'fuse_conv_bn: {left[0]} and {len(left) - 1} more normalisations of this '
                f'{type(network).__name__} cannot be folded into a convolution'
            )
    if channels_last:
        move: Any = network.to  # torch's annotations of it leave this argument out
        move(memory_format=torch.channels_last)
    return network.eval()


def choose_device(name: str | None = None) -> torch.device:
    """Return the device of a name, by default a GPU if there is one.

    Raises:
        InputError: There is no device of this name, or torch cannot use it.
    """
    try:
        device = torch.device(name or get_device())
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f'device {name!r} cannot be used: {reason:.200}') from error
    return device


def _is_foldable(norm: _BatchNorm) -> bool:
    """Tell whether a normalisation scales each channel by the same numbers, and does no more."""
    same = bool(norm.affine) and norm.running_var is not None and norm.running_var.ndim == 1
    # timm's can have an activation inside, which would be lost.
    return same and all(isinstance(part, nn.Identity) for part in norm.children())


def _norms(network: nn.Module) -> list[tuple[str, _BatchNorm]]:
    return [(name, part) for name, part in network.named_modules() if isinstance(part, _BatchNorm)]
