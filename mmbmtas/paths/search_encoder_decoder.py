"""The network of a search of paths: a supernet with a policy, and the domains' decoders."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmbmtas.cost import ModuleCost
from mmbmtas.models.backbones.protocols import Features, PathBackbone
from mmbmtas.models.backbones.routing import Mixture
from mmbmtas.registry import MODELS
from mmbmtas.structures import PathArchitecture
from mmbmtas.structures.data_sample import MultiTaskDataSample

from .cost import PathNetworkCost, with_path_cost
from .domain_encoder_decoder import DomainEncoderDecoder, take_rows
from .domain_norm import drop_running_statistics
from .quality import quality_of

Paths = Mapping[str, Sequence[int | Mixture]]
"""A path of each domain: the candidate of each searched layer, or some with their weights."""


@MODELS.register_module()
class PathSearchEncoderDecoder(DomainEncoderDecoder):
    """A :class:`PathSupernet` with decoders: what a search loop of paths trains and asks.

    Batch normalisations, those of decoders too, use the statistics of the batch at all times.

    Args:
        backbone: Config of :class:`PathSupernet`, or of any other
            :class:`~mmbmtas.models.backbones.PathBackbone`.
        args, kwargs: What else :class:`MultiTaskEncoderDecoder` takes; ``loss_balancing`` weighs
            losses, never rewards.

    Raises:
        InputError: As :class:`MultiTaskEncoderDecoder`.
    """

    BACKBONE: type = PathBackbone

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        drop_running_statistics(self)
        self._paths: Paths = {}
        self._averaging = 0.0

    @property
    def policy(self) -> Any:
        """What draws paths, see :class:`~mmbmtas.paths.policies.Policy`."""
        return self.backbone.policy

    def routing_probs(self) -> Tensor:
        """Return how likely each domain takes each candidate of a layer, ``(L, D, C)``."""
        return self.backbone.routing_probs()

    def sample_paths(self, generator: torch.Generator | None = None) -> dict[str, tuple[int, ...]]:
        """Draw a path for each domain, in the order of the domains.

        Args:
            generator: Source of randomness, on the CPU; torch's by default.
        """
        return self.policy.sample_all(generator)

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[MultiTaskDataSample] | None = None,
        mode: str = 'tensor',
        paths: Paths | None = None,
        averaging: float = 0.0,
    ) -> Any:
        """Run as every segmentor does, along given paths.

        Args:
            inputs: ``(N, 3, H, W)``.
            data_samples: Their labels and domains.
            mode: ``loss``, ``predict`` or ``tensor``.
            paths: The path of each domain; of others the most probable one.
            averaging: How likely each decision between candidates is averaged, as warm-up steps
                do; drawn from torch's global generator.
        """
        self._paths, self._averaging = paths or {}, averaging
        try:
            return super().forward(inputs, data_samples, mode)
        finally:
            self._paths, self._averaging = {}, 0.0

    def encode(self, inputs: Tensor, domain: str) -> dict[str, Features]:
        """Return the features of a domain's tasks, on the path that :meth:`forward` was given."""
        features = self.backbone(inputs, domain, self._paths.get(domain), self._averaging)
        return dict.fromkeys(self.domains[domain], features)

    def _forward(
        self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return the maps of the chosen domain's tasks; of all domains if none was chosen."""
        domains = [*self.domains] if self.domain is None else [self.domain]
        features = {
            task: found for domain in domains for task, found in self.encode(inputs, domain).items()
        }
        return {task: self.decode_heads[task](found) for task, found in features.items()}

    @torch.no_grad()
    def quality(
        self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample], paths: Paths
    ) -> dict[str, float]:
        """Return how well each domain's path predicts its images of a batch, 0 to 1.

        It is what :func:`~mmbmtas.paths.quality.quality_of` says, the mean over the
        domain's tasks with a label, by the statistics of the batch.

        Args:
            inputs: ``(N, 3, H, W)``.
            data_samples: Their labels and domains.
            paths: The path of each domain.

        Raises:
            InputError: No image of a domain has a label of it.
        """
        flags = [(module, module.training) for module in self.modules()]
        self.eval()  # no dropout; normalisations have no statistics but the batch's
        try:
            found = {}
            for domain, rows in self.rows_by_domain(data_samples).items():
                samples = [data_samples[row] for row in rows]
                features = self.backbone(take_rows(inputs, rows), domain, paths.get(domain))
                heads = {task: self.decode_heads[task] for task in self.domains[domain]}
                found[domain] = quality_of(domain, heads, features, samples)
            return dict(zip(found, torch.stack([*found.values()]).tolist(), strict=True))
        finally:
            for module, training in flags:
                module.training = training

    @cached_property
    def network_cost(self) -> PathNetworkCost:
        """Costs of the network's parts at ``cost_shape``, measured once."""
        return self.measure_paths()

    @property
    def candidate_costs(self) -> Tensor:
        """Multiply-adds of the candidates, ``(L, C)``, float64, padded with zeros."""
        return self.network_cost.table('madds')

    @property
    def candidate_params(self) -> Tensor:
        """Parameters of the candidates, ``(L, C)``, float64, padded with zeros."""
        return self.network_cost.table('params')

    @property
    def fixed_cost(self) -> ModuleCost:
        """Cost of what no path changes, each part once: stem, last layer and all decoders."""
        return self.network_cost.fixed

    def export_architecture(self, source: str | dict[str, Any] | None = None) -> PathArchitecture:
        """Return the most probable paths, with what a network of them costs."""
        paths = self.backbone.export_architecture(source)
        return with_path_cost(paths, self.network_cost, self.cost_shape)
