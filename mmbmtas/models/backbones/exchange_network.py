"""One encoder per task, with units between the encoders that exchange features."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from mmbmtas.structures import BranchedArchitecture
from mmbmtas.structures.values import filled_in_from, require_number

from .branched_network import BranchedNetwork
from .protocols import Features
from .task_encoders import TaskEncoders


class ExchangeNetwork(TaskEncoders):
    """An encoder for each task, whose features meet after the stem and after every stage.

    Each encoder is the :class:`BranchedNetwork` of its task alone. A unit takes the features of all
    tasks, ``(N, C, H, W)`` each, and gives as many of the same shape, which the next stages read;
    those after the low-level layer and after the last stage go to the decoders and the context
    modules. The paper (Appendix B) does not say where units stand; these places give the
    multiply-adds of its tables. Both methods are meant to start from trained
    single-task networks, which :func:`~mmbmtas.models.segmentors.load_single_networks` does.

    Args:
        tasks: Task names, 2 to 16.
        encoder: Config of the encoder description, for example ``dict(type='MobileNetV2Encoder')``.
        alpha: Initial weight of a task's own features in a unit.
        beta: Initial weight of each other task's, by default ``0.1 / (T - 1)``. Both defaults are
            our choice: the paper's own could not be found out.
        dropout: Dropout rate before the context modules' projections.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with ImageNet weights, which every
            task's encoder receives. By default random weights.

    Raises:
        InputError: ``tasks`` are not 2 to 16 different names, or a number means nothing.
    """

    encoders: Any  # a ModuleDict of BranchedNetworks, which torch's annotations cannot say

    @filled_in_from('tasks', 'model.backbone.tasks')
    def __init__(
        self,
        tasks: Sequence[str],
        encoder: dict[str, Any],
        alpha: float = 0.9,
        beta: float | None = None,
        dropout: float = 0.1,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(tasks, encoder, 2, init_cfg)
        beta = 0.1 / (len(self.tasks) - 1) if beta is None else beta
        self.alpha = require_number(f'alpha of {type(self).__name__}', alpha)
        self.beta = require_number(f'beta of {type(self).__name__}', beta)
        self.encoders = nn.ModuleDict(
            {task: self._build_encoder(task, dropout) for task in self.tasks}
        )
        # The layers after which features meet, -1 for the stem.
        self._places = [-1, *(stage[-1] for stage in self.encoder.stages)]
        channels = [self.encoder.stem_channels]
        channels += [self.encoder.out_channels(index) for index in self._places[1:]]
        self.units = nn.ModuleList(self.build_unit(number) for number in channels)

    def _build_encoder(self, task: str, dropout: float) -> BranchedNetwork:
        """Build one task's encoder."""
        layers = self.encoder.num_layers
        tree = BranchedArchitecture.shared([task], self.encoder.to_config(), layers)
        return BranchedNetwork(tree, self.encoder, dropout=dropout, init_cfg=self.init_cfg)

    @abstractmethod
    def build_unit(self, channels: int) -> nn.Module:
        """Build a unit: a list of ``T`` features of ``channels`` channels to one like it."""

    def forward(self, x: Tensor) -> dict[str, Features]:
        """Encode images ``(N, 3, H, W)``; return the features of each task."""
        units = dict(zip(self._places, self.units, strict=True))
        features = units[-1]([encoder.stem(x) for encoder in self.encoders.values()])
        levels = {}
        for index in range(self.encoder.num_layers):
            features = [
                encoder.layers[index][0](feature)
                for encoder, feature in zip(self.encoders.values(), features, strict=True)
            ]
            if index in units:
                features = units[index](features)
            if index in self.taps:
                levels[index] = features
        taps = [levels[tap] for tap in self.taps]
        return dict(zip(self.tasks, zip(*taps, strict=True), strict=True))

    def shared_by(self) -> Iterator[tuple[nn.Module, int]]:
        """Yield all modules as serving one task each.

        An encoder is its task's own. So is what makes the input of its next stage in a unit, one
        row or convolution a task; that gradients of all tasks come through is what a unit is for,
        and no reason to slow it (our choice).
        """
        yield self.encoders, 1
        yield self.units, 1

    def init_weights(self) -> None:
        """Initialise every task's encoder as ``init_cfg`` says; units keep ``alpha``, ``beta``."""
        print_log(
            f'{type(self).__name__} starts without single-task networks (no single_checkpoints), '
            f'from {"random" if self.init_cfg is None else "ImageNet"} weights.',
            logger='current',
        )
        for encoder in self.encoders.values():
            encoder.init_weights()
        self._is_init = True
