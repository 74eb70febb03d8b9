"""The simplest decoder: a linear readout of the last layer."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mmbmtas.registry import MODELS

from .task_head import TaskHead


@MODELS.register_module()
class ReadoutHead(TaskHead):
    """A 1x1 convolution with bias on the context features.

    For problems in which the encoder should do all the work, such as
    :class:`~mmbmtas.datasets.PlantedMT`.

    Args:
        in_channels: Channels of the low-level features, which it does not read, and of the context.
        num_classes: Channels of the output.
        init_cfg: Initialisation. By default weights are normal with a standard deviation of 0.5:
            with mmseg's 0.01 the few features would first shrink to nothing.
        kwargs: What else :class:`TaskHead` takes.

    Raises:
        InputError: As :class:`TaskHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        init_cfg: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            channels=in_channels[-1],
            num_classes=num_classes,
            init_cfg=init_cfg or dict(type='Normal', std=0.5, override=dict(name='conv_seg')),
            **kwargs,
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map ``(low_level, context)`` to ``(N, num_classes, H, W)`` of the context's size."""
        _, context = self._transform_inputs(inputs)
        return self.cls_seg(context)
