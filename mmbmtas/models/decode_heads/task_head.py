"""What the decoders of all tasks share: labels, losses and predictions."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.utils import resize
from mmseg.registry import TASK_UTILS as PIXEL_SAMPLERS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmbmtas.checkpoints import require_fitting
from mmbmtas.devices import as_on_cpu
from mmbmtas.errors import InputError
from mmbmtas.structures.documents import is_count
from mmbmtas.structures.values import require_count, require_number, require_share

from .outputs import MapOutput, decide, to_mean, to_prediction, unpad

_RELU: dict[str, Any] = {'type': 'ReLU'}
_CLASSES_OR_BINARY = ('classes', 'probability')
_FIXED = {
    'out_channels': "it is num_classes; a single logit is num_classes=1 with output='probability'",
    'threshold': 'probabilities are predicted as they are; the metrics have thresholds',
    'in_index': 'the head reads (low_level, context)',
    'input_transform': 'the head reads (low_level, context)',
}
"""Options of ``mmseg.BaseDecodeHead`` that the head decides itself, and how."""


class TaskHead(BaseDecodeHead):
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
        for name, number in [
            *(('in_channels', number) for number in in_channels),
            *(('channels', channels), ('num_classes', num_classes)),
        ]:
            require_count(f'{name} of {where}', number)
        require_share(f'dropout_ratio of {where}', dropout_ratio, below_one=True)
        if not is_count(ignore_index):
            raise InputError(f'ignore_index {ignore_index!r} of {where}: expected a whole number')
        expected = {'probability': 1, 'normals': 3}.get(output, num_classes)
        if output not in get_args(MapOutput) or num_classes != expected:
            raise InputError(
                f'output {output!r} with num_classes={num_classes}: expected one of '
                f'{get_args(MapOutput)}, a probability with 1 and normals with 3 channels'
            )
        if sampler is not None and output != 'classes':
            raise InputError(
                f"sampler {dict(sampler)} of {where}: pixel samplers are for output='classes', "
                f'not {output!r}'
            )
        norm_cfg = norm_cfg or dict(type='BN')
        with warnings.catch_warnings():
            # mmseg's own head warns of how it builds its losses.
            warnings.filterwarnings('ignore', '.*build_loss.* would be deprecated')
            super().__init__(
                in_channels=list(in_channels),
                channels=channels,
                num_classes=num_classes,
                out_channels=num_classes,
                in_index=[0, 1],
                input_transform='multiple_select',
                threshold=0.5,
                dropout_ratio=dropout_ratio,
                conv_cfg=conv_cfg,
                norm_cfg=norm_cfg,
                act_cfg=act_cfg,
                loss_decode=loss_decode or dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True),
                ignore_index=ignore_index,
                align_corners=align_corners,
                **({} if init_cfg is None else dict(init_cfg=init_cfg)),
            )
        self.target_key = target_key
        self.output = output
        if sampler is not None:
            self.sampler = self._build_sampler(sampler, where)
        for loss in self.losses:
            _check_loss(loss, num_classes, where)
        if len({str(getattr(loss, 'ignore', 0)) for loss in self.losses}) > 1:
            raise InputError(f'loss_decode of {where}: its losses ignore different values')

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says.

        Raises:
            InputError: It names a checkpoint of which nothing fits; mmengine would go on.
        """
        hint = "; of a multi-task network it is 'decode_heads.TASK'"
        require_fitting(self, self.init_cfg, f'{type(self).__name__} ({self.target_key})', hint)
        super().init_weights()

    def _build_sampler(self, cfg: dict[str, Any], where: str) -> Any:
        """Build mmseg's pixel sampler, by its name with or without ``mmseg.``."""
        options = dict(cfg)
        kind = options.pop('type', None)
        name = kind.removeprefix('mmseg.') if isinstance(kind, str) else kind
        found = PIXEL_SAMPLERS.get(name) if isinstance(name, str) else name
        try:
            return found(context=self, **options)
        except (AssertionError, TypeError) as error:  # how mmseg refuses, and Python
            raise InputError(
                f'sampler {dict(cfg)} of {where}: {error or "expected other settings"}; for '
                "example dict(type='mmseg.OHEMPixelSampler', thresh=0.7, min_kept=100000)"
            ) from error

    @property
    def losses(self) -> list[Any]:
        """The losses, one or several."""
        losses: Any = self.loss_decode
        return [*losses] if isinstance(losses, nn.ModuleList) else [losses]

    @property
    def ignored_value(self) -> float | None:
        """The label value that is left out; None if there is none but NaN.

        In normals it stands for a zero vector. Maps of values are as their loss says (``ignore``).
        """
        if self.output in _CLASSES_OR_BINARY:
            return self.ignore_index
        return getattr(self.losses[0], 'ignore', 0) if self.output == 'value' else 0

    def is_labelled(self, data_samples: Sequence[SegDataSample]) -> bool:
        """Tell whether any image of the batch has a valid pixel of this task."""
        labels = (
            as_on_cpu(sample.get(self.target_key).data)
            for sample in data_samples
            if self.target_key in sample
        )
        return any(bool(self._valid(label).any()) for label in labels)

    def _valid(self, target: Tensor) -> Tensor:
        """Tell which entries of a label carry information."""
        ignored = self.ignored_value
        known = ~target.isnan()
        return known if ignored is None else known & (target != ignored)

    def _stack_batch_gt(self, batch_data_samples: Sequence[SegDataSample]) -> Tensor:
        """Stack the labels to ``(N, channels, H, W)``; an image without one is all ignored."""
        labels = [
            sample.get(self.target_key).data if self.target_key in sample else None
            for sample in batch_data_samples
        ]
        present = next((label for label in labels if label is not None), None)
        if present is None:
            raise InputError(f'no image of the batch has the label {self.target_key!r}')
        missing = float('nan') if self.ignored_value is None else self.ignored_value
        return torch.stack(
            [torch.full_like(present, missing) if label is None else label for label in labels]
        )

    def loss_by_feat(
        self, seg_logits: Tensor, batch_data_samples: Sequence[SegDataSample]
    ) -> dict[str, Tensor]:
        """Compute the losses at the label's size, in float32.

        Raises:
            InputError: On CPUs, a label has a class beyond the last (GPUs end with an assertion).
        """
        target = self._stack_batch_gt(batch_data_samples)
        logits = resize(
            seg_logits.float(), target.shape[2:], mode='bilinear', align_corners=self.align_corners
        )
        results: dict[str, Tensor] = {}
        try:
            options: dict[str, Any] = {'ignore_index': self.ignore_index}
            if self.sampler is not None:
                options['weight'] = self.sampler.sample(logits, target)
            if self.output != 'normals':
                target = target.squeeze(1)
            for loss in self.losses:
                value = loss(logits, target, **options, **self._average(loss, logits, target))
                results[loss.loss_name] = results.get(loss.loss_name, 0) + value
        except IndexError as error:
            where = self._images_beyond(batch_data_samples)
            raise InputError(
                f'{self.target_key}: {error} The classes are 0 to {self.num_classes - 1} '
                f'(num_classes), {self.ignore_index} is ignored{where}'
            ) from error
        return results

    def _images_beyond(self, data_samples: Sequence[SegDataSample]) -> str:
        """Name the images of a batch whose labels have classes beyond the last."""
        paths = []
        for sample in data_samples:
            if self.target_key in sample:
                label = sample.get(self.target_key).data
                if bool(((label >= self.num_classes) & (label != self.ignore_index)).any()):
                    paths.append(str(sample.metainfo.get('img_path', '(no img_path)')))
        return f'. Look at the label of {", ".join(paths)}' if paths else ''

    def _average(self, loss: Any, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Say what mmseg's cross-entropy is divided by, where it would not do well.

        For the number of valid pixels it would wait for the GPU. Where classes have weights, it
        would look up that of ignored pixels as well, and find no such class.
        """
        if not isinstance(loss, CrossEntropyLoss) or loss.reduction != 'mean':
            return {}
        if loss.use_sigmoid or loss.use_mask:
            return {}
        if loss.class_weight is None:
            if not loss.avg_non_ignore:
                return {}
            return {'avg_factor': (target != self.ignore_index).sum()}
        weights = logits.new_tensor(loss.class_weight)
        return {'avg_factor': weights[target[target != self.ignore_index]].sum()}

    def at_input_size(self, maps: Tensor, shape: Sequence[int]) -> Tensor:
        """Bring maps ``(N, channels, H / 4, W / 4)`` to the inputs' height and width."""
        return resize(maps, shape, mode='bilinear')

    def at_image_size(self, logits: Tensor, metainfo: Mapping[str, Any]) -> Tensor:
        """Cut the padding off an input's map ``(channels, H, W)``, and bring it to its image."""
        return unpad(logits, metainfo)

    def to_prediction(self, logits: Tensor) -> Tensor:
        """Turn a full-size map ``(channels, H, W)`` into the task's prediction."""
        return to_prediction(self.output, logits)

    def to_mean(self, logits: Tensor) -> Tensor:
        """Turn a map ``(channels, H, W)`` into what predictions are averaged in."""
        return to_mean(self.output, logits)

    def decide(self, mean: Tensor) -> Tensor:
        """Turn an average of :meth:`to_mean` into the task's prediction."""
        return decide(self.output, mean)

    def mirror(self, mean: Tensor) -> Tensor:
        """Turn :meth:`to_mean` of a mirrored image into that of the image."""
        mean = mean.flip(-1)
        return torch.cat([-mean[:1], mean[1:]]) if self.output == 'normals' else mean

    def pack(self, prediction: Tensor) -> PixelData:
        """Make a prediction the field of a data sample."""
        return PixelData(data=prediction)


def _check_loss(loss: Any, num_classes: int, where: str) -> None:
    """Refuse settings of a loss that mean nothing, or would fail at the first label."""
    name = f'{type(loss).__name__} of {where}'
    require_number(f'loss_weight of {name}', getattr(loss, 'loss_weight', 1.0), least=0)
    key = getattr(loss, 'loss_name', 'loss_')
    if not str(key).startswith('loss_'):
        raise InputError(
            f"loss_name {key!r} of {name}: expected one that begins with 'loss_', others are not "
            'minimised'
        )
    if getattr(loss, 'class_weight', None) is None:
        return
    weights = np.asarray(loss.class_weight).tolist()  # a list, or what a file held
    if not isinstance(weights, list) or len(weights) != num_classes:
        raise InputError(
            f'class_weight {weights} of {name}: expected a list of {num_classes} numbers, one for '
            'each class (num_classes)'
        )
    for weight in weights:
        require_number(f'class_weight of {name}: entry', weight, least=0)
