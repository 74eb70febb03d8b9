"""The base of encoders that exchange features between tasks."""

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from mmbmtas.encoders import Encoder, build_encoder
from mmbmtas.errors import InputError

from .state import decode_json, encode_json


class TaskEncoders(BaseModule):
    """Encoders of several tasks that are no tree: their tasks, and what a checkpoint says of them.

    Args:
        tasks: Task names.
        encoder: Config of the encoder description, for example ``dict(type='MobileNetV2Encoder')``.
        min_tasks: How many tasks there must be at least.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with ImageNet weights. By default
            random weights.

    Raises:
        ValueError: ``tasks`` are not ``min_tasks`` to 16 different names.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: dict[str, Any],
        min_tasks: int,
        init_cfg: dict[str, Any] | None,
    ) -> None:
        super().__init__(init_cfg)
        self.tasks = tuple(tasks)
        if not min_tasks <= len(set(self.tasks)) == len(self.tasks) <= 16:
            raise InputError(f'tasks {list(tasks)}: expected {min_tasks} to 16 different names')
        self.encoder: Encoder = build_encoder(encoder)
        self.taps: tuple[int, ...] = self.encoder.low_level_and_last

    def get_extra_state(self) -> Tensor:
        """Return method, tasks and encoder as JSON bytes: what parameters do not say."""
        own = {'method': type(self).__name__, 'tasks': self.tasks}
        return encode_json({**own, 'encoder': self.encoder.to_config()})

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse weights of another method, of other tasks or of another encoder.

        Raises:
            ValueError: One of them differs.
        """
        found, own = decode_json(state), decode_json(self.get_extra_state())
        if found != own:
            found = {key: found.get(key) for key in own}
            raise InputError(f'the checkpoint holds encoders of {found}, the config asks for {own}')
