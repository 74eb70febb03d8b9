"""Draws samples with their predictions while the model is validated or tested."""

from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.registry import HOOKS
from mmbmtas.structures.data_sample import MultiTaskDataSample
from mmbmtas.visualization import sample_image, sheet_name


@HOOKS.register_module()
class MultiTaskVisualizationHook(Hook):
    """Draws every n-th validated or tested sample as a contact sheet of all tasks.

    Sheets go to the visualizer's backends or, with ``show_dir``, to files there. Unlike mmseg's
    hook, whose contract this is, the interval counts samples, whatever the batch size, and the
    first sample is always drawn; the image is the batch's, so that no file is read again.

    Args:
        draw: Whether to draw at all; ``tools/test.py`` switches it on for ``--show`` and
            ``--show-dir``.
        interval: Number of samples from one that is drawn to the next, at least 1.
        show: Whether to open windows; the backends then get nothing.
        wait_time: Seconds that a window stays open; 0 until a key is pressed.
        show_dir: Folder to write the sheets to as PNG files.

    Raises:
        ValueError: If the interval is less than 1.

    Example:
        .. code-block:: python

            default_hooks = dict(
                visualization=dict(type='MultiTaskVisualizationHook', draw=True, interval=50)
            )
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 50,
        show: bool = False,
        wait_time: float = 0.0,
        show_dir: str | None = None,
    ) -> None:
        if interval < 1:
            raise InputError(f'interval must be at least 1, got {interval}')
        self.draw = draw
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.show_dir = show_dir
        self._num_seen = 0

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self._num_seen = 0

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[MultiTaskDataSample] | dict | None = None,
        mode: str = 'train',
    ) -> None:
        """Draw those samples of the batch whose turn it is."""
        if not self.draw or mode == 'train' or data_batch is None or outputs is None:
            return
        visualizer = Visualizer.get_current_instance()
        # Not runner.iter, which builds the training loop, with its data, in a test too.
        trained = runner.message_hub.get_info('iter', -1) + 1
        images = data_batch['inputs']
        if views := isinstance(images[0], Sequence):
            images = images[0]  # the samples are those of the first view
        for inputs, sample in zip(images, outputs, strict=True):
            if self._num_seen % self.interval == 0:
                image = sample_image(inputs, sample)
                name = sheet_name(sample, f'{mode}_{self._num_seen:05d}')
                visualizer.add_datasample(
                    name,
                    _without_view(image, sample) if views else image,
                    sample,
                    show=self.show,
                    wait_time=self.wait_time,
                    out_file=str(Path(self.show_dir, f'{name}.png')) if self.show_dir else None,
                    step=trained,
                )
            self._num_seen += 1


def _without_view(image: NDArray[np.uint8], sample: MultiTaskDataSample) -> NDArray[np.uint8]:
    """Bring an image of a test-time augmentation back to how the merged predictions show it."""
    if sample.metainfo.get('flip', False):
        image = image[:, ::-1]
    height, width = sample.metainfo['ori_shape'][:2]
    return mmcv.imresize(image, (width, height))
