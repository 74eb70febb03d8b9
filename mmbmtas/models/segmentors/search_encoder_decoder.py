"""The network of the search: a supernet, the tasks' decoders, and the resource loss."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

from mmbmtas.cost import ModuleCost, NetworkCost, with_cost
from mmbmtas.errors import InputError
from mmbmtas.models.backbones.protocols import Supernet
from mmbmtas.registry import MODELS
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.structures.data_sample import MultiTaskDataSample

from .multi_task_encoder_decoder import MultiTaskEncoderDecoder


@MODELS.register_module()
class SearchEncoderDecoder(MultiTaskEncoderDecoder):
    """A supernet with decoders and a resource loss (paper, Eq. 4).

    Args:
        backbone: Config of :class:`BranchedSupernet`, or of any other
            :class:`~mmbmtas.models.backbones.Supernet`.
        decode_heads: Config of each task's decoder.
        resource_loss: Config of :class:`ResourceLoss`.
        cost_shape: Height and width at which costs are measured: the retraining size, never the
            search's crop.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialisation of the whole network.
        loss_balancing: Config of a :class:`LossBalancing`. It learns with the model weights; in
            architecture phases its weights stay, and the resource loss is never weighed by it.
        auxiliary_heads: See :class:`MultiTaskEncoderDecoder`.

    Raises:
        ValueError: The resource loss's target is out of reach: below the cost of the fully shared
            network or above that of the network with all tasks apart; it cannot be computed for so
            many tasks; or its latency table is of another network.
    """

    BACKBONE: type = Supernet
    backbone: Supernet

    def __init__(
        self,
        backbone: dict[str, Any],
        decode_heads: Mapping[str, dict[str, Any]],
        resource_loss: dict[str, Any],
        cost_shape: tuple[int, int] = (512, 512),
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
        loss_balancing: dict[str, Any] | None = None,
        auxiliary_heads: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            backbone,
            decode_heads,
            cost_shape,
            data_preprocessor,
            init_cfg,
            loss_balancing,
            auxiliary_heads,
        )
        self.resource_loss = MODELS.build(resource_loss)
        self._check_resource_loss()

    def _check_resource_loss(self) -> None:
        """Refuse a resource loss that is not for this network, or cannot reach its target."""
        loss = self.resource_loss
        loss.check_tasks(len(self.tasks))
        if loss.latency is None:
            cost, target, name, form = self.network_cost, loss.target_madds, 'target_madds', ',.0f'
            low, high = cost.shared().madds, cost.all_apart().madds
        else:
            encoder = self.backbone.encoder
            loss.latency.check_fits(
                self.tasks, encoder.to_config(), encoder.num_layers, self.cost_shape
            )
            target, name, form = loss.target_latency_ms, 'target_latency_ms', ',.2f'
            low, high = loss.latency.shared(), loss.latency.all_apart()
        if target is not None and not low <= target <= (math.inf if loss.at_most else high):
            raise InputError(
                f'{name} {target:{form}} is out of reach at {self.cost_shape}: the fully shared '
                f'network has {low:{form}}, the one with all tasks apart {high:{form}}'
            )

    @cached_property
    def network_cost(self) -> NetworkCost:
        """Costs of the network's parts at ``cost_shape``, measured once."""
        return self.measure_cost()

    @property
    def fixed_cost(self) -> ModuleCost:
        """Cost of what no tree changes: the stem and the decoders."""
        return sum(self.network_cost.decoders.values(), self.network_cost.stem)

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[MultiTaskDataSample] | None = None,
        mode: str = 'tensor',
        tasks: Sequence[str] | None = None,
        with_resource_loss: bool = False,
    ) -> Any:
        """Run as every segmentor does; in mode ``loss`` optionally for some tasks.

        Args:
            inputs: ``(N, 3, H, W)``.
            data_samples: Their labels.
            mode: ``loss``, ``predict`` or ``tensor``.
            tasks: The tasks whose losses to compute, all of them labelled on some rank. ``None``
                stands for all labelled ones, with the resource loss.
            with_resource_loss: Whether ``loss_resource`` is among the losses of ``tasks``.
        """
        if mode == 'loss' and tasks is not None:
            assert data_samples is not None
            losses = self._task_losses(self.backbone(inputs, tasks), data_samples, tasks)
            return losses | (self.resource_losses() if with_resource_loss else {})
        return super().forward(inputs, data_samples, mode)

    def loss(
        self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample]
    ) -> dict[str, Tensor]:
        """Compute the losses of all labelled tasks and of the architecture."""
        return super().loss(inputs, data_samples) | self.resource_losses()

    def resource_losses(self) -> dict[str, Tensor]:
        """Compute the penalty on the expected size, in a loss dictionary."""
        return {
            'loss_resource': self.resource_loss(
                self.backbone.routing_probs(), self.network_cost.layer_madds, self.fixed_cost.madds
            )
        }

    def export_architecture(
        self, source: str | dict[str, Any] | None = None
    ) -> BranchedArchitecture:
        """Return the tree of the most probable candidates, with its cost."""
        return with_cost(
            self.backbone.export_architecture(source), self.network_cost, self.cost_shape
        )
