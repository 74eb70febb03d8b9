"""The network in which paths are searched: all candidates of all layers, and a policy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmbmtas.encoders import Encoder, build_encoder
from mmbmtas.encoders.candidates import Choices, SeparateChoices
from mmbmtas.errors import InputError
from mmbmtas.models.backbones.checkpointing import run_checkpointed
from mmbmtas.models.backbones.pretrained import init_encoder, init_random
from mmbmtas.models.backbones.protocols import Features
from mmbmtas.models.backbones.routing import Mixture
from mmbmtas.models.backbones.state import decode_json, encode_json, kind_of
from mmbmtas.registry import MODELS, build_kind
from mmbmtas.structures import PathArchitecture
from mmbmtas.structures.paths import Candidate
from mmbmtas.structures.values import require_choice

from .domain_norm import drop_running_statistics, is_statistic
from .domains import as_domains, require_domain
from .policies import Policy


@MODELS.register_module()
class PathSupernet(BaseModule):
    """A stem, searched layers with candidates that differ, and a last layer (MPNAS, TuNAS).

    ``L`` searched layers, ``D`` domains. A domain's images take one candidate of each layer, its
    path. Stem and last layer are the same for all. Batch normalisations use the statistics of the
    batch in evaluation too: paths of many kinds pass a candidate in turn.

    Args:
        domains: Names of the domains, each with the task of its name, or ``{domain: [task, ...]}``.
        encoder: Config of the encoder, for example ``dict(type='MobileNetV3PathEncoder')``.
        sharing: How the candidates of a layer hold their weights: ``collapsed`` into those of the
            largest one, where the encoder knows how, or ``separate``.
        policy: Config of the policies that draw paths, ``FactoredPolicy`` by default, or
            ``FlatPolicy``.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``, with separate candidates.
        with_cp: Keep nothing of a layer but its input for the backward pass.

    Raises:
        InputError: Domains, ``sharing`` or the policy mean nothing.

    Example:
        >>> net = PathSupernet(['digits', 'faces'], {'type': 'MobileNetV3PathEncoder'})
        >>> _, context = net(torch.rand(2, 3, 64, 64), 'faces')
        >>> tuple(context.shape)
        (2, 960, 2, 2)
    """

    layers: Any  # a ModuleList of Choices, which torch's annotations cannot say

    def __init__(
        self,
        domains: Sequence[str] | Mapping[str, Sequence[str]],
        encoder: dict[str, Any],
        sharing: str = 'collapsed',
        policy: Mapping[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
        with_cp: bool = False,
    ) -> None:
        super().__init__(init_cfg)
        self.domains = as_domains(domains)
        self.sharing = require_choice('sharing of PathSupernet', sharing, ('collapsed', 'separate'))
        if sharing == 'collapsed' and init_cfg is not None:
            raise InputError(
                f'init_cfg {init_cfg} of PathSupernet: collapsed candidates have no weights of '
                "their own to load; leave it out, or choose sharing='separate'"
            )
        self.encoder = build_encoder(encoder)
        self.taps: tuple[int, ...] = self.encoder.low_level_and_last
        searched = range(self.encoder.num_searched)
        self.candidates = searched_candidates(self.encoder)
        self.stem = self.encoder.build_stem()
        self.layers = nn.ModuleList(self._build_choices(index) for index in searched)
        self.context = self.encoder.build_layer(self.encoder.num_searched)
        drop_running_statistics(self)
        self._policy_cfg = dict(policy or {'type': 'FactoredPolicy'})
        self.policy = build_policy(self._policy_cfg, self.candidates, [*self.domains])
        self.with_cp = with_cp

    def _build_choices(self, index: int) -> Choices:
        """Build all candidates of a layer."""
        if self.sharing == 'collapsed':
            collapsed = self.encoder.build_collapsed(index)
            if collapsed is None:
                raise InputError(
                    f"sharing='collapsed' of PathSupernet: {type(self.encoder).__name__} does not "
                    "say how its candidates share weights; choose sharing='separate'"
                )
            return collapsed
        candidates = self.candidates[index]
        modules = [self.encoder.build_candidate(index, c) for c in range(len(candidates))]
        return SeparateChoices(candidates, modules, self.encoder.largest_decisions)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks of all domains."""
        return tuple(task for tasks in self.domains.values() for task in tasks)

    def weights(self) -> list[nn.Parameter]:
        """Return the model weights: all parameters but the policy's."""
        return [p for name, p in self.named_parameters() if not name.startswith('policy.')]

    def architecture_parameters(self) -> list[nn.Parameter]:
        """Return the policy's parameters."""
        return [*self.policy.parameters()]

    def shared_by(self) -> Iterator[tuple[nn.Module, int]]:
        """Yield stem and last layer, which all tasks share; of others that is to be found."""
        yield self.stem, len(self.tasks)
        yield self.context, len(self.tasks)

    def searched_modules(self) -> Iterator[nn.Module]:
        """Yield the candidates of all layers and what they hold."""
        yield from self.layers.modules()

    def routing_probs(self) -> Tensor:
        """Return how likely each domain takes each candidate of a layer, ``(L, D, C)``."""
        return self.policy.probs()

    def path(self, domain: str) -> tuple[int, ...]:
        """Return a domain's most probable path."""
        position = [*self.domains].index(require_domain(domain, self.domains, 'domain'))
        return tuple(self.policy.argmax()[:, position].tolist())

    def forward(
        self,
        x: Tensor,
        domain: str,
        path: Sequence[int | Mixture] | None = None,
        averaging: float = 0.0,
    ) -> Features:
        """Encode images of a domain.

        Args:
            x: Images, ``(N, 3, H, W)``.
            domain: Whose they are.
            path: The candidate of each layer, or several and the weight of each one's output; by
                default the domain's most probable path.
            averaging: How likely each decision between candidates is averaged, as warm-up steps
                do; drawn from torch's global generator.

        Returns:
            The features of the domain's tasks.
        """
        if self.training and x.device.type == 'cpu':  # faster there, and rounded otherwise
            x = x.contiguous(memory_format=torch.channels_last)
        path = self.path(domain) if path is None else path
        x = self.stem(x)
        levels = {}
        for index, (choices, candidate) in enumerate(zip(self.layers, path, strict=True)):
            if self.with_cp:
                x = run_checkpointed(_run_layer, choices, choices, x, candidate, averaging)
            else:
                x = _run_layer(choices, x, candidate, averaging)
            if index in self.taps:
                levels[index] = x
        levels[len(self.layers)] = self.context(x)
        return tuple(levels[tap] for tap in self.taps)

    def export_architecture(self, source: str | dict[str, Any] | None = None) -> PathArchitecture:
        """Return the most probable paths, without their cost."""
        return replace(most_probable_paths(self.policy, self.encoder), source=source)

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says; random weights as everywhere else here."""
        if self.sharing == 'collapsed':
            for module in (self.stem, self.layers, self.context):
                init_random(module)
        else:
            copies = [
                (index, module)
                for index, layer in enumerate(self.layers)
                for module in layer.candidates
            ]
            context = (self.encoder.num_searched, self.context)
            parts = [*copies, context]
            init_encoder(self.encoder, self.stem, parts, self.init_cfg, unused=is_statistic)
        self._is_init = True

    def get_extra_state(self) -> Tensor:
        """Return domains, encoder, policy and sharing as JSON bytes."""
        own = {'domains': self.domains, 'sharing': self.sharing, 'policy': self._policy_cfg}
        return encode_json({**own, 'encoder': self.encoder.to_config()})

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse weights of a supernet of other domains or settings.

        Raises:
            InputError: One of them differs.
        """
        found, own = decode_json(state), decode_json(self.get_extra_state())
        if kind_of(found) != 'search' or 'domains' not in found:
            raise InputError(
                'the checkpoint is not of a search of paths: expected one of a PathSupernet'
            )
        if found != own:
            raise InputError(f'the checkpoint holds a supernet of {found}, the config one of {own}')


def _run_layer(choices: Choices, x: Tensor, candidate: int | Mixture, averaging: float) -> Tensor:
    """Run one candidate, or sum the outputs of some by their weights."""
    if isinstance(candidate, int):
        return choices(x, candidate, averaging)
    outputs = [weight * choices(x, c, averaging) for c, weight in candidate.items()]
    return outputs[0] if len(outputs) == 1 else torch.stack(outputs).sum(dim=0)


def searched_candidates(encoder: Encoder) -> tuple[tuple[Candidate, ...], ...]:
    """Return the candidates of each layer of an encoder that paths choose in."""
    return tuple(encoder.candidates(index) for index in range(encoder.num_searched))


def build_policy(
    cfg: Mapping[str, Any], candidates: Sequence[Sequence[Candidate]], domains: Sequence[str]
) -> Policy:
    """Build a registered :class:`Policy`.

    Raises:
        InputError: There is none of this type, or it takes other arguments.
    """
    with torch.device('cpu'):  # it looks at its tables, wherever the weights are to be
        return build_kind(MODELS, cfg, Policy, 'policy', candidates=candidates, domains=domains)


def most_probable_paths(policy: Policy, encoder: Encoder) -> PathArchitecture:
    """Return the paths that a policy takes in the end, without their cost."""
    chosen = policy.argmax()
    return PathArchitecture.from_routing(
        policy.domains,
        encoder.to_config(),
        {domain: chosen[:, position].tolist() for position, domain in enumerate(policy.domains)},
        candidates=policy.candidates,
        layers=encoder.layer_names[: encoder.num_searched],
    )
