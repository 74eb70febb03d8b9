"""The decoder of one task: DeepLabv3+ without its context module, which the encoder ends in."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn import functional as F

from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS

Output = Literal['classes', 'probability', 'normals', 'value']


@MODELS.register_module()
class DeepLabV3PlusHead(BaseDecodeHead):
    """Low-level and context features to one task's map (method section 4).

    Low-level features go to ``low_level_channels`` by a 1x1 convolution; the context is brought to
    their size, both are concatenated, two 3x3 convolutions follow, and a 1x1 with bias.

    The head serves one task of a :class:`MultiTaskEncoderDecoder`, or is the ``decode_head`` of a
    plain ``mmseg.EncoderDecoder`` whose backbone returns ``(low_level, context)``.

    Args:
        in_channels: Channels of the low-level and of the context features.
        channels: Channels of the 3x3 convolutions; the paper has 128 (MobileNetV2) or 256.
        num_classes: Channels of the output.
        low_level_channels: Channels the low-level features are projected to.
        separable: Whether the 3x3 convolutions are depthwise separable, as with MobileNetV2.
        target_key: Field of the data sample with the label; in a multi-task config ``gt_<task>``.
        output: What the map is. ``classes``: logits of each class. ``probability``: one logit.
            ``normals``: a vector to normalise. ``value``: the value itself (metres).
        loss_decode: One loss or a list of them, called ``(pred, target, ignore_index=...)``.
        norm_cfg: Normalisation of the convolutions.
        kwargs: What else ``mmseg.BaseDecodeHead`` takes.

    Raises:
        ValueError: ``output`` is none of the four, or does not go with ``num_classes``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        low_level_channels: int = 48,
        separable: bool = False,
        target_key: str = 'gt_sem_seg',
        output: Output = 'classes',
        loss_decode: dict[str, Any] | list[dict[str, Any]] | None = None,
        norm_cfg: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        expected = {'probability': 1, 'normals': 3}.get(output, num_classes)
        if output not in get_args(Output) or num_classes != expected:
            raise InputError(
                f'output {output!r} with num_classes={num_classes}: expected one of '
                f'{get_args(Output)}, a probability with 1 and normals with 3 channels'
            )
        norm_cfg = norm_cfg or dict(type='BN')
        with warnings.catch_warnings():
            # mmseg's own head warns of how it builds its losses.
            warnings.filterwarnings('ignore', '.*build_loss.* would be deprecated')
            super().__init__(
                in_channels=list(in_channels),
                channels=channels,
                num_classes=num_classes,
                in_index=[0, 1],
                input_transform='multiple_select',
                threshold=0.5,
                dropout_ratio=0,
                norm_cfg=norm_cfg,
                loss_decode=loss_decode or dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True),
                **kwargs,
            )
        self.target_key = target_key
        self.output = output
        low_level, context = in_channels
        layers = dict(norm_cfg=norm_cfg, act_cfg=self.act_cfg)
        block = DepthwiseSeparableConvModule if separable else ConvModule
        self.low_level_projection = ConvModule(low_level, low_level_channels, 1, **layers)
        self.refine = nn.Sequential(
            block(context + low_level_channels, channels, 3, padding=1, **layers),
            block(channels, channels, 3, padding=1, **layers),
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map ``(low_level, context)`` to ``(N, num_classes, H / 4, W / 4)``."""
        low_level, context = self._transform_inputs(inputs)
        low_level = self.low_level_projection(low_level)
        context = resize(
            context, low_level.shape[2:], mode='bilinear', align_corners=self.align_corners
        )
        return self.cls_seg(self.refine(torch.cat([context, low_level], dim=1)))

    def is_labelled(self, data_samples: Sequence[SegDataSample]) -> bool:
        """Tell whether any image of the batch has a valid pixel of this task."""
        return any(
            self.target_key in sample and bool(self._valid(sample.get(self.target_key).data).any())
            for sample in data_samples
        )

    def _valid(self, target: Tensor) -> Tensor:
        """Tell which entries of a label carry information."""
        if self.output in ('classes', 'probability'):
            return target != self.ignore_index
        return target != 0

    def _stack_batch_gt(self, batch_data_samples: Sequence[SegDataSample]) -> Tensor:
        """Stack the labels to ``(N, channels, H, W)``; an image without one is all ignored."""
        labels = [
            sample.get(self.target_key).data if self.target_key in sample else None
            for sample in batch_data_samples
        ]
        present = next((label for label in labels if label is not None), None)
        if present is None:
            raise InputError(f'no image of the batch has the label {self.target_key!r}')
        missing = self.ignore_index if self.output in ('classes', 'probability') else 0
        return torch.stack(
            [torch.full_like(present, missing) if label is None else label for label in labels]
        )

    def loss_by_feat(
        self, seg_logits: Tensor, batch_data_samples: Sequence[SegDataSample]
    ) -> dict[str, Tensor]:
        """Compute the losses at the label's size, in float32.

        Raises:
            ValueError: On CPUs, a label has a class beyond the last (GPUs end with an assertion).
        """
        target = self._stack_batch_gt(batch_data_samples)
        logits = resize(
            seg_logits.float(), target.shape[2:], mode='bilinear', align_corners=self.align_corners
        )
        if self.output != 'normals':
            target = target.squeeze(1)
        losses: Any = self.loss_decode
        losses = losses if isinstance(losses, nn.ModuleList) else [losses]
        results: dict[str, Tensor] = {}
        for loss in losses:
            try:
                value = loss(logits, target, ignore_index=self.ignore_index)
            except IndexError as error:
                raise InputError(
                    f'{self.target_key}: {error} The classes are 0 to {self.num_classes - 1} '
                    f'(num_classes), {self.ignore_index} is ignored'
                ) from error
            results[loss.loss_name] = results.get(loss.loss_name, 0) + value
        return results

    def to_prediction(self, logits: Tensor) -> Tensor:
        """Turn a full-size map ``(channels, H, W)`` into the task's prediction."""
        if self.output == 'classes':
            return logits.argmax(dim=0, keepdim=True)
        if self.output == 'probability':
            return logits.sigmoid()
        return F.normalize(logits, dim=0) if self.output == 'normals' else logits
