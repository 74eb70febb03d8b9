"""Processing of a task's map: averaging, decision, and removal of the padding."""

from collections.abc import Mapping
from typing import Any, Literal

from mmseg.models.utils import resize
from torch import Tensor
from torch.nn import functional as F

MapOutput = Literal['classes', 'probability', 'normals', 'value']
"""``classes``: logits of each class. ``probability``: one logit. ``normals``: a vector to
normalise. ``value``: the value itself."""

Output = Literal['classes', 'probability', 'normals', 'value', 'label']
"""A :data:`MapOutput`, or ``label``: logits of the classes of the whole image."""


class OutputHead:
    """What a decoder makes of its maps, or logits, as its :attr:`output` says.

    Attributes:
        output: What they are.
    """

    output: Output

    def to_prediction(self, maps: Tensor) -> Tensor:
        """Turn what an image has, channels first, into the task's prediction."""
        return to_prediction(self.output, maps)

    def to_mean(self, maps: Tensor) -> Tensor:
        """Turn what an image has, channels first, into what predictions are averaged in."""
        return to_mean(self.output, maps)

    def decide(self, mean: Tensor) -> Tensor:
        """Turn an average of :meth:`to_mean` into the task's prediction."""
        return decide(self.output, mean)


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
    if output in ('classes', 'label'):
        return maps.softmax(dim=dim)
    if output == 'probability':
        return maps.sigmoid()
    return F.normalize(maps, dim=dim) if output == 'normals' else maps


def decide(output: Output, mean: Tensor, dim: int = 0) -> Tensor:
    """Turn an average of :func:`to_mean` into predictions; classes get a single channel.

    Of a whole image the probabilities of its classes stay.
    """
    if output == 'classes':
        return mean.argmax(dim=dim, keepdim=True)
    return F.normalize(mean, dim=dim) if output == 'normals' else mean


def to_prediction(output: Output, maps: Tensor, dim: int = 0) -> Tensor:
    """Turn maps into predictions: class ids, probabilities, unit vectors or values."""
    if output == 'classes':  # of logits, since a softmax rounds
        return decide(output, maps, dim)
    return decide(output, to_mean(output, maps, dim), dim)


def cut_padding(maps: Tensor, metainfo: Mapping[str, Any]) -> Tensor:
    """Cut the padding off a map ``(C, H, W)``, as a sample's metainfo says."""
    left, top, right, bottom = metainfo.get('padding', (0, 0, 0, 0))
    # Smaller than the map where a batch has inputs of several sizes: they are stacked top left.
    height, width = metainfo.get('img_shape', maps.shape[1:])[:2]
    return maps[:, top : height - bottom, left : width - right]


def unpad(logits: Tensor, metainfo: Mapping[str, Any]) -> Tensor:
    """Cut the padding off a map ``(C, H, W)`` and bring it to the original size."""
    logits = cut_padding(logits, metainfo)
    size = tuple(metainfo.get('ori_shape', logits.shape[1:]))[:2]
    if logits.shape[1:] == size:
        return logits
    return resize(logits[None], size, mode='bilinear')[0]
