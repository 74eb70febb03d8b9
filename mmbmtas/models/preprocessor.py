"""The images of a batch, made what a network takes."""

from typing import Any

import torch
from mmengine.model import ImgDataPreprocessor, stack_batch
from torch import Tensor

from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS


@MODELS.register_module()
class BatchPreprocessor(ImgDataPreprocessor):
    """mmengine's ``ImgDataPreprocessor``, without a wait for the GPU and with few kernels.

    mmengine's sends the order of the channels to the GPU for each image, and waits until it is
    there. Images of one size are stacked first here, and computed on together. The numbers are the
    same to the bit. Batches come from pinned memory without a wait (``non_blocking``).

    Args:
        kwargs: What mmengine's takes.

    Example:
        >>> model = dict(data_preprocessor=dict(
        ...     type='mmbmtas.BatchPreprocessor', mean=[127.5] * 3, std=[127.5] * 3,
        ...     bgr_to_rgb=True))
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{'non_blocking': True, **kwargs})

    def forward(self, data: Any, training: bool = False) -> dict[str, Any]:
        """Send a batch to the device, and its images from BGR bytes to what the network takes.

        Args:
            data: What the loader gives: ``inputs``, images ``(3, H, W)`` or a batch of them, and
                ``data_samples``.
            training: Whether samples are only read. If so, on a CPU they are not copied. Otherwise
                they are, because predictions are added to them.

        Raises:
            InputError: Images have other channels than three, where these are exchanged or
                normalised one by one.
        """
        if not training or self.device.type != 'cpu':
            data = self.cast_data(data)
        images = data['inputs']
        if isinstance(images, Tensor):
            groups = [images]
        elif len({image.shape for image in images}) == 1:
            groups = [torch.stack([*images])]
        else:
            groups = [image[None] for image in images]
        groups = [self._normalise(group) for group in groups]
        inputs = groups[0]
        if len(groups) > 1 or any(side % self.pad_size_divisor for side in inputs.shape[2:]):
            apart = [image for group in groups for image in group]
            inputs = stack_batch(apart, self.pad_size_divisor, self.pad_value)
        return {'data_samples': None, **data, 'inputs': inputs}

    def _normalise(self, images: Tensor) -> Tensor:
        """Convert and normalise images ``(N, 3, H, W)`` of one size."""
        each = self._enable_normalize and self.mean.shape[0] == 3
        if images.shape[1] != 3 and (each or self._channel_conversion):
            raise InputError(
                f'model.data_preprocessor: images of {images.shape[1]} channels, expected 3: load '
                'them in colour'
            )
        if self._channel_conversion:
            images = images.flip(1)
        images = images.float()
        return (images - self.mean) / self.std if self._enable_normalize else images
