"""Test-time augmentation: maps of several views of an image, averaged before the decision."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import BaseTTAModel
from torch import Tensor, nn

from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS
from mmbmtas.structures.data_sample import MultiTaskDataSample
from mmbmtas.structures.tasks import label_task

from .multi_task_encoder_decoder import MultiTaskEncoderDecoder


@MODELS.register_module()
class MultiTaskTTAModel(BaseTTAModel):
    """Average a multi-task network's predictions over views of an image.

    The views come from ``mmcv.TestTimeAug`` with :class:`ViewImage` in the test pipeline. Each
    view's maps are brought back to the image: mirrored again, a normal's x component negated, depth
    multiplied by the scale (what looks larger is nearer, as in training). Averaged are
    probabilities of classes and of positives, unit normals, and values.

    Args:
        module: The network or its config, a :class:`MultiTaskEncoderDecoder`.
        data_preprocessor: Config of a preprocessor for ``module``, if it is to be another.

    Raises:
        InputError: ``module`` is another kind of network, or has a decoder that does not say how
            its maps are averaged.

    Example:
        >>> tta_model = dict(type='MultiTaskTTAModel')
    """

    def __init__(
        self,
        module: dict[str, Any] | nn.Module,
        data_preprocessor: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(module, data_preprocessor)
        if not isinstance(self.module, MultiTaskEncoderDecoder):
            raise InputError(
                f'tta_model MultiTaskTTAModel is for a MultiTaskEncoderDecoder, the model is a '
                f'{type(self.module).__name__}; mmseg has mmseg.SegTTAModel for its own'
            )
        for task, head in self.module.decode_heads.items():
            if not hasattr(head, 'to_mean'):
                raise InputError(
                    f'decode_heads.{task}: {type(head).__name__} cannot be tested with --tta: it '
                    'has no to_mean and decide'
                )

    def test_step(self, data: Mapping[str, Sequence[Any]]) -> list[MultiTaskDataSample]:
        """Predict a batch whose every entry lists its views.

        Args:
            data: ``inputs`` and ``data_samples``, for each view those of all images.

        Returns:
            The samples of the first view with ``pred_<task>``.

        Raises:
            InputError: The pipeline has no ``TestTimeAug``, or turns images upside down.
        """
        if not isinstance(data['data_samples'][0], Sequence):
            raise InputError(
                'tta_pipeline makes no views of an image: expected mmcv.TestTimeAug around '
                'ViewImage, as in configs/_base_/datasets'
            )
        # Summed view by view, so that one view's maps at a time are in memory.
        first: list[MultiTaskDataSample] = []
        sums: list[dict[str, Tensor]] = []
        for inputs, samples in zip(data['inputs'], data['data_samples'], strict=True):
            view = self.module.data_preprocessor(
                {'inputs': inputs, 'data_samples': list(samples)}, False
            )
            samples = view['data_samples']
            maps = [
                self._restore(found, sample)
                for found, sample in zip(
                    self.module.predict_maps(view['inputs'], samples), samples, strict=True
                )
            ]
            if not first:
                first, sums = samples, maps
                continue
            for total, found in zip(sums, maps, strict=True):
                for task in total:
                    total[task] += found[task]
        views = len(data['inputs'])
        return [self._decide(*pair, views) for pair in zip(first, sums, strict=True)]

    def merge_preds(self, data_samples_list: Any) -> Any:
        """Disable mmengine's merging, which works on predictions that are already decided."""
        raise NotImplementedError('MultiTaskTTAModel averages maps in test_step')

    def _restore(self, maps: dict[str, Tensor], sample: MultiTaskDataSample) -> dict[str, Tensor]:
        """Bring one view's maps back to the image as it was, ready to be averaged."""
        direction = sample.metainfo.get('flip_direction') or 'horizontal'
        if direction != 'horizontal':
            raise InputError(
                f'tta_pipeline mirrors images with flip_direction {direction!r}: expected '
                'horizontal, as ViewImage(flip=True) does'
            )
        restored = {}
        for task, logits in maps.items():
            head = self.module.decode_heads[task]
            mean = head.to_mean(logits)
            if sample.metainfo.get('flip', False):
                mean = head.mirror(mean)
            kinds = sample.metainfo.get('task_kinds')
            if label_task(task, holds_floats=True, kinds=kinds).kind == 'depth':
                mean = mean * _scale_of(sample.metainfo)
            restored[task] = mean
        return restored

    def _decide(
        self, sample: MultiTaskDataSample, sums: dict[str, Tensor], views: int
    ) -> MultiTaskDataSample:
        """Put the decided averages into a sample."""
        for task, total in sums.items():
            head = self.module.decode_heads[task]
            sample.set_data({f'pred_{task}': head.pack(head.decide(total / views))})
        return sample


def _scale_of(metainfo: Mapping[str, Any]) -> float:
    """New size over old size; mmcv's transforms have one for the width and one for the height."""
    scale = metainfo.get('scale_factor', 1.0)
    return math.sqrt(math.prod(scale)) if isinstance(scale, Sequence) else scale
