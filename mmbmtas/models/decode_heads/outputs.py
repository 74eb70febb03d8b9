"""What a task's map becomes: what is averaged, and what is decided."""

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

Output = Literal['classes', 'probability', 'normals', 'value']
"""``classes``: logits of each class. ``probability``: one logit. ``normals``: a vector to
normalise. ``value``: the value itself."""


def to_mean(output: Output, maps: Tensor, dim: int = 0) -> Tensor:
    """Turn maps into what predictions of one image are averaged in, with :func:`decide` next.

    Args:
        output: What the maps are.
        maps: Channels along ``dim``.
        dim: Axis of the channels.

    Returns:
        Of the same shape: probabilities of the classes, or of the positive; unit vectors; or
        values.
    """
    if output == 'classes':
        return maps.softmax(dim=dim)
    if output == 'probability':
        return maps.sigmoid()
    return F.normalize(maps, dim=dim) if output == 'normals' else maps


def decide(output: Output, mean: Tensor, dim: int = 0) -> Tensor:
    """Turn an average of :func:`to_mean` into predictions; classes get a single channel."""
    if output == 'classes':
        return mean.argmax(dim=dim, keepdim=True)
    return F.normalize(mean, dim=dim) if output == 'normals' else mean


def to_prediction(output: Output, maps: Tensor, dim: int = 0) -> Tensor:
    """Turn maps into predictions: class ids, probabilities, unit vectors or values."""
    if output == 'classes':  # of logits, since a softmax rounds
        return decide(output, maps, dim)
    return decide(output, to_mean(output, maps, dim), dim)
