"""What the decoders of maps share: labels, losses and predictions."""

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

from .outputs import MapOutput, OutputHead, unpad

FIXED = {
    'out_channels': "it is num_classes; a single logit is num_classes=1 with output='probability'",
    'threshold': 'probabilities are predicted as they are; the metrics have thresholds',
}
"""Options of ``mmseg.BaseDecodeHead`` that a task's decoder decides itself, and how."""
_CLASSES_OR_BINARY = ('classes', 'probability')


class MapDecoder(OutputHead, BaseDecodeHead):
    """A head of mmseg's whose map is that of any task.

    It stands before a class of layers, and replaces what mmseg does with labels and predictions;
    :class:`TaskHead` says what the arguments are.

    Args:
        num_classes, target_key, output, loss_decode, sampler, ignore_index, init_cfg: See
            :class:`TaskHead`.
        options: What else the class of layers takes.

    Raises:
        InputError: As :class:`TaskHead`.
    """

    output: MapOutput

    def __init__(
        self,
        *,
        num_classes: int,
        target_key: str,
        output: MapOutput = 'classes',
        loss_decode: dict[str, Any] | list[dict[str, Any]] | None = None,
        sampler: dict[str, Any] | None = None,
        ignore_index: int = 255,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        where = f'{type(self).__name__} ({target_key})'
        for name in FIXED.keys() & options.keys():
            raise InputError(f'{name}={options[name]!r} of {where}: {FIXED[name]}')
        for name, number in dict(
            channels=options.get('channels', 1), num_classes=num_classes
        ).items():
            require_count(f'{name} of {where}', number)
        require_share(
            f'dropout_ratio of {where}', options.get('dropout_ratio', 0.1), below_one=True
        )
        if not is_count(ignore_index):
            raise InputError(f'ignore_index {ignore_index!r} of {where}: expected a whole number')
        expected = {'probability': 1, 'normals': 3}.get(output, num_classes)
        if output not in get_args(MapOutput) or num_classes != expected:
            raise InputError(
                f'output {output!r} with num_classes={num_classes} of {where}: expected one of '
                f'{get_args(MapOutput)}, a probability with 1 and normals with 3 channels'
            )
        if sampler is not None and output != 'classes':
            raise InputError(
                f"sampler {dict(sampler)} of {where}: pixel samplers are for output='classes', "
                f'not {output!r}'
            )
        with warnings.catch_warnings():
            # mmseg's own head warns of how it builds its losses.
            warnings.filterwarnings('ignore', '.*build_loss.* would be deprecated')
            super().__init__(
                num_classes=num_classes,
                out_channels=num_classes,
                threshold=0.5,
                loss_decode=loss_decode or dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True),
                ignore_index=ignore_index,
                **({} if init_cfg is None else dict(init_cfg=init_cfg)),
                **options,
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
        """Say what mmseg's cross-entropy is divided by, where mmseg's own divisor has a drawback.

        To count the valid pixels, mmseg would wait for the GPU. Where classes have weights, it
        would look up the weight of ignored pixels as well, and find no such class.
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
        return resize(maps, shape, mode='bilinear', align_corners=self.align_corners)

    def at_image_size(self, logits: Tensor, metainfo: Mapping[str, Any]) -> Tensor:
        """Cut the padding off an input's map ``(channels, H, W)``, and bring it to its image."""
        return unpad(logits, metainfo)

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
