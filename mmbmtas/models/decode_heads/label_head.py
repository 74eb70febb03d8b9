"""The decoder of a task whose label is one class of the whole image."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.structures import LabelData
from torch import Tensor, nn
from torch.nn import functional as F

from mmbmtas.checkpoints import require_fitting
from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS
from mmbmtas.structures.data_sample import MultiTaskDataSample
from mmbmtas.structures.values import require_count, require_share

from .outputs import OutputHead

_INITIALISATION: dict[str, Any] = {
    'type': 'Kaiming',
    'layer': 'Linear',
    'override': {'type': 'Normal', 'name': 'classifier', 'std': 0.01},
}


@MODELS.register_module()
class LabelHead(OutputHead, BaseModule):
    """Classify images: mean over all places, two linear layers with a hard swish between them.

    The end of MobileNetV3 (verified in TuNAS's code): 960 to 1280 with a bias and no
    normalisation. Images without a label count for nothing.

    Args:
        in_channels: Channels of the low-level features, which are not used, and of the context.
        num_classes: Number of classes.
        target_key: Field of the data sample with the label, ``gt_<task>``: mmengine's
            ``LabelData`` with ``label`` ``(1,)``.
        channels: Channels between the two layers.
        label_smoothing: Share of the probability that the loss gives to all classes alike.
        dropout_ratio: Share of the channels that are dropped before the last layer.
        init_cfg: Initialisation. By default the first layer's is Kaiming's, the last one's weights
            are normal with a standard deviation of 0.01.

    Raises:
        InputError: A number means nothing.

    Example:
        >>> head = LabelHead([24, 960], num_classes=10, target_key='gt_digits')
        >>> head((torch.rand(2, 24, 16, 16), torch.rand(2, 960, 2, 2))).shape
        torch.Size([2, 10])
    """

    output = 'label'

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        target_key: str,
        channels: int = 1280,
        label_smoothing: float = 0.1,
        dropout_ratio: float = 0.0,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        where = f'LabelHead ({target_key})'
        if not isinstance(in_channels, Sequence) or len(in_channels) != 2:
            raise InputError(
                f'in_channels {in_channels!r} of {where}: expected two numbers, the channels of '
                'the low-level and of the context features'
            )
        for number in in_channels:
            require_count(f'in_channels of {where}', number)
        require_count(f'channels of {where}', channels)
        require_count(f'num_classes of {where}', num_classes, least=2)
        require_share(f'label_smoothing of {where}', label_smoothing, below_one=True)
        require_share(f'dropout_ratio of {where}', dropout_ratio, below_one=True)
        super().__init__(init_cfg or _INITIALISATION)
        self.in_channels = [*in_channels]
        self.num_classes = num_classes
        self.target_key = target_key
        self.label_smoothing = label_smoothing
        self.hidden = nn.Linear(in_channels[1], channels)
        self.dropout = nn.Dropout(dropout_ratio)
        self.classifier = nn.Linear(channels, num_classes)

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says.

        Raises:
            InputError: It names a checkpoint of which nothing fits; mmengine would go on.
        """
        hint = "; of a multi-task network it is 'decode_heads.TASK'"
        require_fitting(self, self.init_cfg, f'LabelHead ({self.target_key})', hint)
        super().init_weights()

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map ``(low_level, context)`` to logits ``(N, num_classes)``."""
        pooled = inputs[1].mean(dim=(2, 3))
        return self.classifier(self.dropout(F.hardswish(self.hidden(pooled))))

    def is_labelled(self, data_samples: Sequence[MultiTaskDataSample]) -> bool:
        """Tell whether any image of the batch has a label of this task."""
        return any(self.target_key in sample for sample in data_samples)

    def loss_by_feat(
        self, logits: Tensor, batch_data_samples: Sequence[MultiTaskDataSample]
    ) -> dict[str, Tensor]:
        """Compute the cross-entropy, in float32, over the images that have a label.

        Raises:
            InputError: No image has one; or, on CPUs, a label has a class beyond the last.
        """
        rows = [i for i, sample in enumerate(batch_data_samples) if self.target_key in sample]
        if not rows:
            raise InputError(f'no image of the batch has the label {self.target_key!r}')
        labels = torch.cat([batch_data_samples[row].get(self.target_key).label for row in rows])
        if (
            not labels.is_cuda
            and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes
        ):
            paths = [
                str(batch_data_samples[row].metainfo.get('img_path', '(no img_path)'))
                for row, label in zip(rows, labels.tolist(), strict=True)
                if not 0 <= label < self.num_classes
            ]
            raise InputError(
                f'{self.target_key}: the classes are 0 to {self.num_classes - 1} (num_classes). '
                f'Look at the label of {", ".join(paths)}'
            )
        found = logits.float() if len(rows) == len(batch_data_samples) else logits[rows].float()
        loss = F.cross_entropy(found, labels, label_smoothing=self.label_smoothing)
        return {'loss_ce': loss}

    def at_input_size(self, maps: Tensor, shape: Sequence[int]) -> Tensor:
        """Return logits as they are: an image's label has no place."""
        return maps

    def at_image_size(self, logits: Tensor, metainfo: Mapping[str, Any]) -> Tensor:
        """Return logits as they are: an image's label has no place."""
        return logits

    def mirror(self, mean: Tensor) -> Tensor:
        """Return probabilities as they are: an image's label has no place."""
        return mean

    def pack(self, prediction: Tensor) -> LabelData:
        """Make probabilities the field of a data sample, with the most probable class."""
        return pack_label(prediction)


def pack_label(scores: Tensor) -> LabelData:
    """Return probabilities ``(K,)`` as ``score``, and the most probable class as ``label``."""
    return LabelData(label=scores.argmax(dim=0, keepdim=True), score=scores)
