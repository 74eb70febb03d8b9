"""The network that a search of paths ends in: the nodes on the paths of all domains."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from os import PathLike
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmbmtas.encoders import Encoder, build_encoder, check_fits
from mmbmtas.errors import InputError
from mmbmtas.models.backbones.checkpointing import run_checkpointed
from mmbmtas.models.backbones.pretrained import init_encoder
from mmbmtas.models.backbones.protocols import Features
from mmbmtas.models.backbones.state import ArchitectureState
from mmbmtas.registry import MODELS
from mmbmtas.structures import PathArchitecture
from mmbmtas.structures.values import filled_in_from, require_choice

from .domain_norm import (
    DomainSwitch,
    has_statistics_by_domain,
    is_statistic,
    separate_statistics,
    settle_domain,
)
from .domains import as_domains, require_domain

NORM_STATISTICS = ('domain', 'shared', 'all')


@MODELS.register_module()
class PathNetwork(ArchitectureState, BaseModule):
    """An encoder through which each domain has a path; domains share the nodes that both pass.

    A node is a candidate of a layer, whatever came before it (MPNAS, WACV 2021). Stem and last
    layer belong to all. With several domains at once on the same images, what they have in common
    from the stem on runs once, as in a tree, where normalisations are common too.

    Args:
        architecture: The paths: a path of an ``architecture.json``, its content, or the object.
        domains: Tasks of each domain, ``{domain: [task, ...]}``; by default one each, of its name.
        task: Serve this task alone, with its domain's path only, so that the backbone fits a plain
            ``mmpretrain.ImageClassifier`` or ``mmseg.EncoderDecoder``.
        encoder: The encoder or its config, if it should differ in anything but what the paths fix.
            By default the paths' own.
        norm_statistics: Whose running statistics normalisations keep: each ``domain`` its own;
            ``shared``, which fit none, for comparison; ``all``, scale and shift by domain too.
        dropout: Dropout rate in the last layer.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``; by default random weights.
        with_cp: Keep nothing of a layer but its input for the backward pass.

    Raises:
        InputError: The paths are of another space, or lack a domain or the task.

    Example:
        >>> encoder = {'type': 'MobileNetV3PathEncoder', 'per_block': 1}
        >>> space = [build_encoder(encoder).candidates(index) for index in range(5)]
        >>> paths = PathArchitecture.from_routing(
        ...     ['digits', 'faces'], build_encoder(encoder).to_config(),
        ...     {'digits': [0, 1, 2, 3, 4], 'faces': [0, 9, 2, 9, 4]}, candidates=space)
        >>> _, context = PathNetwork(paths)(torch.rand(2, 3, 64, 64), 'faces')['faces']
        >>> tuple(context.shape)
        (2, 960, 2, 2)
    """

    architecture: PathArchitecture
    layers: Any  # a ModuleList of ModuleDicts, which torch's annotations cannot say

    @filled_in_from('architecture', 'model.backbone.architecture')
    def __init__(
        self,
        architecture: str | PathLike | dict[str, Any] | PathArchitecture,
        domains: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        task: str | None = None,
        encoder: dict[str, Any] | Encoder | None = None,
        norm_statistics: str = 'domain',
        dropout: float = 0.0,
        init_cfg: dict[str, Any] | None = None,
        with_cp: bool = False,
    ) -> None:
        super().__init__(init_cfg)
        paths = PathArchitecture.of(architecture)
        is_file = isinstance(architecture, str | PathLike)
        name = str(architecture) if is_file else 'the architecture'
        self.encoder: Encoder = build_encoder(encoder or paths.encoder, name)
        check_fits(paths, self.encoder, name)
        self.taps: tuple[int, ...] = self.encoder.low_level_and_last
        searched = range(self.encoder.num_searched)
        paths.check_space([self.encoder.candidates(index) for index in searched], name)
        self.domains = as_domains(paths.domains if domains is None else domains)
        for domain in self.domains:
            require_domain(domain, paths.routing, f'domains: {name} has no path of')
        self.task = task
        if task is not None:
            self.domains = {self._domain_of(task): (task,)}
        self.architecture = replace(
            paths if [*self.domains] == [*paths.domains] else paths.for_tasks([*self.domains]),
            encoder=self.encoder.to_config(),
        )
        self.norm_statistics = require_choice(
            'norm_statistics of PathNetwork', norm_statistics, NORM_STATISTICS
        )
        self.with_cp = with_cp
        self._switch = DomainSwitch()
        self.stem = self.encoder.build_stem()
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    str(candidate): self.encoder.build_candidate(index, candidate)
                    for candidate, _ in self.architecture.nodes(index)
                }
            )
            for index in searched
        )
        self.context = self.encoder.build_layer(len(searched), dropout)
        if norm_statistics != 'shared':
            for node, users in self._nodes():
                separate_statistics(node, users, self._switch, norm_statistics == 'all')

    def _domain_of(self, task: str) -> str:
        for domain, tasks in self.domains.items():
            if task in tasks:
                return domain
        raise InputError(f'task {task!r} of PathNetwork: expected one of {[*self.tasks]}')

    def _nodes(self) -> Iterator[tuple[nn.Module, tuple[str, ...]]]:
        """Yield every node and the domains that pass it, stem first, last layer last."""
        everybody = tuple(self.domains)
        yield self.stem, everybody
        for index, nodes in enumerate(self.layers):
            for candidate, users in self.architecture.nodes(index):
                yield nodes[str(candidate)], users
        yield self.context, everybody

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks of all domains."""
        return tuple(task for tasks in self.domains.values() for task in tasks)

    def shared_by(self) -> Iterator[tuple[nn.Module, int]]:
        """Yield every node and the number of tasks that share it, the stem first."""
        for node, users in self._nodes():
            yield node, sum(len(self.domains[domain]) for domain in users)

    def forward(self, x: Tensor, domain: str | None = None) -> dict[str, Features] | Features:
        """Encode images.

        Args:
            x: ``(N, 3, H, W)``.
            domain: Whose images they are. By default they run along the paths of all domains.

        Returns:
            The features of each of the domain's tasks, or of the one task the network was built
            for.
        """
        if domain is None:
            features = self._encode(x, tuple(self.domains))
        else:
            features = self._encode(x, (require_domain(domain, self.domains, 'domain'),))
        if self.task is not None:
            return next(iter(features.values()))
        return {task: found for d, found in features.items() for task in self.domains[d]}

    def _encode(self, x: Tensor, domains: Sequence[str]) -> dict[str, Features]:
        """Encode images along some paths; what these have in common from the stem on runs once."""
        outputs, places = self._step(
            [x], dict.fromkeys(domains, 0), dict.fromkeys(domains, self.stem)
        )
        levels = {}
        for index, nodes in enumerate(self.layers):
            chosen = {d: nodes[str(self.architecture.routing[d][index])] for d in domains}
            outputs, places = self._step(outputs, places, chosen)
            if index in self.taps:
                levels[index] = {domain: outputs[place] for domain, place in places.items()}
        outputs, places = self._step(outputs, places, dict.fromkeys(domains, self.context))
        levels[len(self.layers)] = {domain: outputs[place] for domain, place in places.items()}
        return {domain: tuple(levels[tap][domain] for tap in self.taps) for domain in domains}

    def _step(
        self, inputs: Sequence[Tensor], places: Mapping[str, int], nodes: Mapping[str, nn.Module]
    ) -> tuple[list[Tensor], dict[str, int]]:
        """Run a layer: each domain's node once for each of its inputs.

        Args:
            inputs: What the layer before gave.
            places: Which of them is each domain's.
            nodes: Each domain's node.

        Returns:
            The outputs, and which of them is each domain's.
        """
        outputs: list[Tensor] = []
        known: dict[tuple[int, nn.Module, str | None], int] = {}
        found = {}
        for domain, place in places.items():
            node = nodes[domain]
            apart = len(places) > 1 and has_statistics_by_domain(node)
            key = (place, node, domain if apart else None)
            if key not in known:
                known[key] = len(outputs)
                outputs.append(self._run_node(node, domain, inputs[place]))
            found[domain] = known[key]
        return outputs, found

    def _run_node(self, node: nn.Module, domain: str, x: Tensor) -> Tensor:
        """Run a node on a domain's features, keeping its activations or not."""

        def run(x: Tensor) -> Tensor:
            with self._switch.at(domain):  # in the backward pass again, if it runs there
                return node(x)

        return run_checkpointed(run, node, x) if self.with_cp else run(x)

    def for_domain(self, domain: str) -> 'PathNetwork':
        """Return a network of one domain's path alone, with the same weights and statistics.

        Raises:
            InputError: There is no such domain.
        """
        require_domain(domain, self.domains, 'domain')
        network = PathNetwork(
            self.architecture.for_tasks([domain]),
            {domain: self.domains[domain]},
            self.task,
            self.encoder,
            with_cp=self.with_cp,
        )
        network.taps = self.taps
        network.stem = deepcopy(self.stem)
        network.layers = nn.ModuleList(
            nn.ModuleDict({candidate: deepcopy(nodes[candidate]) for candidate in own})
            for nodes, own in zip(self.layers, network.layers, strict=True)
        )
        network.context = deepcopy(self.context)
        settle_domain(network, domain)
        return network.train(self.training)

    def init_weights(self) -> None:
        """Initialise all nodes as ``init_cfg`` says; see :func:`init_encoder`."""
        copies = [
            (index, node) for index, nodes in enumerate(self.layers) for node in nodes.values()
        ]
        copies.append((len(self.layers), self.context))
        init_encoder(self.encoder, self.stem, copies, self.init_cfg, unused=is_statistic)
        self._is_init = True
