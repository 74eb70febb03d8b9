"""Checks that weights are finite."""

from collections.abc import Mapping
from os import PathLike

from torch import Tensor, nn

from mmbmtas.errors import InputError


def network_weights(model: nn.Module) -> dict[str, Tensor]:
    """List a network's parameters and the statistics of its normalisations."""
    statistics = {
        name: buffer
        for name, buffer in model.named_buffers()
        if name.rpartition('.')[2] in ('running_mean', 'running_var')
    }
    return {**dict(model.named_parameters()), **statistics}


def require_finite(weights: Mapping[str, Tensor], name: str | PathLike[str]) -> None:
    """Refuse weights that are infinite or not a number.

    Args:
        weights: Parameters and statistics of a network, by name.
        name: File of the weights, for messages.

    Raises:
        InputError: Some are not finite.
    """
    broken = [key for key, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise InputError(
            f'{name} holds weights that are infinite or not a number in {len(broken)} of '
            f'{len(weights)} tensors, the first is {broken[0]}: the training had diverged, or the '
            'file is damaged. Use another checkpoint'
        )
