"""The base of decoders that read low-level and context features."""

from collections.abc import Sequence
from typing import Any

from mmbmtas.errors import InputError
from mmbmtas.structures.values import require_count

from .map_decoder import FIXED, MapDecoder
from .outputs import MapOutput

_RELU: dict[str, Any] = {'type': 'ReLU'}
_FIXED = {
    **FIXED,
    'in_index': 'the head reads (low_level, context)',
    'input_transform': 'the head reads (low_level, context)',
}


class TaskHead(MapDecoder):
    """A decoder of one task, from low-level and context features to the task's map.

    A subclass builds its layers and runs them in ``forward``; ``cls_seg`` is the last one, a 1x1
    convolution from ``channels`` to ``num_classes``.

    The head serves one task of a :class:`MultiTaskEncoderDecoder`, or is the ``decode_head`` of a
    plain ``mmseg.EncoderDecoder`` whose backbone returns ``(low_level, context)``.

    Args:
        in_channels: Channels of the low-level and of the context features.
        channels: Channels that the last convolution reads.
        num_classes: Channels of the output.
        target_key: Field of the data sample with the label; in a multi-task config ``gt_<task>``.
        output: What the map is. ``classes``: logits of each class. ``probability``: one logit.
            ``normals``: a vector to normalise. ``value``: the value itself (metres).
        loss_decode: One loss or a list of them, called ``(pred, target, ignore_index=...)``. With
            ``class_weight`` mmseg's cross-entropy is averaged over the weights of the valid pixels.
        norm_cfg: Normalisation of the convolutions.
        act_cfg: Activation of the convolutions, by default ReLU; None for none.
        conv_cfg: Kind of the convolutions, by default plain ones.
        dropout_ratio: Share of the channels that are dropped before the last convolution.
        sampler: Config of mmseg's pixel sampler, ``dict(type='mmseg.OHEMPixelSampler', ...)``, for
            class outputs.
        ignore_index: Label value left out, of class and binary maps.
        align_corners: How maps are resized.
        init_cfg: Initialisation. By default the last convolution's weights are normal with a
            standard deviation of 0.01, its bias is 0.
        others: Nothing else is taken.

    Raises:
        InputError: ``output`` is none of the four, or does not go with ``num_classes``; a number
            means nothing; ``class_weight`` of a loss is not one number a class; or an option would
            have no effect.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        target_key: str = 'gt_sem_seg',
        output: MapOutput = 'classes',
        loss_decode: dict[str, Any] | list[dict[str, Any]] | None = None,
        norm_cfg: dict[str, Any] | None = None,
        act_cfg: dict[str, Any] | None = _RELU,
        conv_cfg: dict[str, Any] | None = None,
        dropout_ratio: float = 0.0,
        sampler: dict[str, Any] | None = None,
        ignore_index: int = 255,
        align_corners: bool = False,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
        **others: Any,
    ) -> None:
        where = f'{type(self).__name__} ({target_key})'
        for name, value in others.items():
            raise InputError(
                f'{name}={value!r} of {where}: {_FIXED.get(name, "there is no such option")}'
            )
        if not isinstance(in_channels, Sequence) or len(in_channels) != 2:
            raise InputError(
                f'in_channels {in_channels!r} of {where}: expected two numbers, the channels of '
                'the low-level and of the context features'
            )
        for number in in_channels:
            require_count(f'in_channels of {where}', number)
        super().__init__(
            in_channels=list(in_channels),
            channels=channels,
            num_classes=num_classes,
            target_key=target_key,
            output=output,
            loss_decode=loss_decode,
            norm_cfg=norm_cfg or dict(type='BN'),
            act_cfg=act_cfg,
            conv_cfg=conv_cfg,
            dropout_ratio=dropout_ratio,
            sampler=sampler,
            ignore_index=ignore_index,
            align_corners=align_corners,
            init_cfg=init_cfg,
            in_index=[0, 1],
            input_transform='multiple_select',
        )
