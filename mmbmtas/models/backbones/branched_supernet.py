"""The network that is searched: every layer holds a candidate operation for each task."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmbmtas.encoders import build_encoder
from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS
from mmbmtas.structures import BranchedArchitecture, TaskGrouping
from mmbmtas.structures.documents import MAX_TASKS
from mmbmtas.structures.values import filled_in_from

from . import wide
from .branched_network import BranchedNetwork
from .checkpointing import run_checkpointed
from .forms import Choice, Form, Forms, run
from .joining import lay
from .pretrained import init_encoder
from .protocols import Features, RoutingMode
from .routing import Mixture, build_routing
from .state import decode_json, encode_json, kind_of

_DECIDED = 10.0
"""Architecture parameter of a candidate that was chosen, where the others have 0."""


@MODELS.register_module()
class BranchedSupernet(BaseModule):
    """A stem and ``L`` layers of ``T`` candidate operations each (paper, section 3.1).

    ``L`` layers, ``T`` tasks, ``C = T`` candidates a layer; ``arch_params`` is ``(L, T, C)``.

    How a task is routed depends on ``routing_mode`` (:meth:`set_routing_mode`):

    - ``relaxed``: the output of layer ``l`` for task ``t`` is ``sum_c z[l, t, c] * op[l, c](x)``
      ``z`` a Gumbel-softmax sample at temperature ``tau`` (Eq. 2), drawn anew in every forward. In
      evaluation the argmax instead. Other schemes than this sum: ``routing``.
    - ``warmup``: candidate ``i`` alone serves task ``i``.
    - ``shared``: the first candidate alone serves all tasks.
    - ``argmax``: the candidate with the largest parameter alone serves the task.

    With one-hot routing only the chosen candidates run. Those of a mixture run as one wide
    operation where their blocks are known (:mod:`mmbmtas.models.backbones.wide`), else one after
    another. A normalisation that ends a candidate has no affine parameters, so that candidates
    differ in what they compute, not in scale.

    Args:
        tasks: Task names, 1 to 64; candidate ``i`` is warmed up on task ``i``. More than 16 need
            ``expectation='sampled'`` in the resource loss.
        encoder: Config of the encoder description, for example ``dict(type='MobileNetV2Encoder')``.
        task: Serve this task alone in :meth:`forward`, so that the backbone fits a plain
            ``mmseg.EncoderDecoder``. By default all tasks.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with ImageNet weights, which every
            candidate receives. By default random weights, alike for the candidates of a layer.
        routing: Config of a :class:`~mmbmtas.models.backbones.routing.Routing`: which candidates
            the relaxed mode runs. By default all (``SoftRouting``); ``dict(type='HardRouting')``,
            ``dict(type='TopKRouting', k=2)`` and ``dict(type='ThresholdRouting', threshold=0.15)``
            are faster departures from the paper. Checkpoints do not depend on it.
        with_cp: Keep nothing of a layer but its input for the backward pass, and compute it again
            there: the same numbers in a fraction of the memory, at 1.6 times the time (on a CPU).
        forms: How the form is chosen in which a layer's mixture runs on a CPU, by layer and phase:
            by a ``rule``, or ``timed``, by some seconds of timing when a phase begins. The numbers
            are the same up to rounding; checkpoints hold what was timed, so that a resumed search
            goes on to the bit.

    Raises:
        ValueError: ``tasks`` are not 1 to 64 different names, ``task`` is none of them,
            ``routing`` is unknown or does not fit, or ``forms`` is unknown.
    """

    arch_params: nn.Parameter
    layers: Any  # a ModuleList of ModuleLists, which torch's annotations cannot say

    @filled_in_from('tasks', 'model.backbone.tasks')
    def __init__(
        self,
        tasks: Sequence[str],
        encoder: dict[str, Any],
        task: str | None = None,
        init_cfg: dict[str, Any] | None = None,
        routing: Mapping[str, Any] | None = None,
        with_cp: bool = False,
        forms: Choice = 'rule',
    ) -> None:
        super().__init__(init_cfg)
        self.tasks = tuple(tasks)
        if not 1 <= len(set(self.tasks)) == len(self.tasks) <= MAX_TASKS:
            raise InputError(f'tasks {list(tasks)}: expected 1 to {MAX_TASKS} different names')
        if task is not None and task not in self.tasks:
            raise InputError(f'task {task!r} is none of the tasks {list(tasks)}')
        self.task = task
        self.encoder = build_encoder(encoder)
        self.taps: tuple[int, ...] = self.encoder.low_level_and_last
        self.stem = self.encoder.build_stem()
        self.layers = nn.ModuleList(
            nn.ModuleList(self._build_candidate(index) for _ in self.tasks)
            for index in range(self.encoder.num_layers)
        )
        self.arch_params = nn.Parameter(
            torch.zeros(self.encoder.num_layers, len(self.tasks), len(self.tasks))
        )
        self.routing_mode: RoutingMode = 'relaxed'
        self.mixtures = build_routing(routing or {'type': 'SoftRouting'}, len(self.tasks))
        self.tau = 5.0
        self.with_cp = with_cp
        self.forms = Forms(forms)
        self._lay()

    def _build_candidate(self, index: int) -> nn.Module:
        """Build one candidate of a layer, without affine in its last normalisation."""
        layer = self.encoder.build_layer(index)
        norm = self.encoder.last_norm(layer)
        if norm is not None:
            _drop_affine(norm)
        return layer

    def _lay(self) -> None:
        """Let the candidates of layers that can run as one lie in memory as one."""
        for candidates in self.layers:
            if wide.are_known(candidates):
                lay(candidates)

    def _apply(self, *args: Any, **kwargs: Any) -> 'BranchedSupernet':
        """Move or convert as torch does, tensor by tensor, and lay them in place again."""
        super()._apply(*args, **kwargs)
        self._lay()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._lay()  # copies have tensors of their own

    def set_routing_mode(self, mode: RoutingMode) -> None:
        """Choose how tasks are routed; see the class.

        Raises:
            ValueError: ``mode`` is not one of these.
        """
        if mode not in get_args(RoutingMode):
            raise InputError(f'routing mode {mode!r}: expected one of {get_args(RoutingMode)}')
        self.routing_mode = mode

    def weights(self) -> list[nn.Parameter]:
        """Return the model weights: all parameters but the architecture's."""
        return [p for name, p in self.named_parameters() if name != 'arch_params']

    def architecture_parameters(self) -> list[nn.Parameter]:
        """Return ``arch_params``."""
        return [self.arch_params]

    def shared_by(self) -> Iterator[tuple[nn.Module, int]]:
        """Yield the stem, which all tasks share; of the layers that is still to be found."""
        yield self.stem, len(self.tasks)

    def searched_modules(self) -> Iterator[nn.Module]:
        """Yield the candidates of all layers and what they hold."""
        yield from self.layers.modules()

    def routing_probs(self) -> Tensor:
        """Return ``p_A``, ``(L, T, C)``: how likely each task takes each candidate of a layer."""
        return self.arch_params.softmax(dim=-1)

    def routing(self, task: str) -> tuple[int, ...]:
        """Return the candidate of ``task`` in each layer under one-hot routing."""
        position = self.tasks.index(task)
        if self.routing_mode == 'warmup':
            return (position,) * len(self.layers)
        if self.routing_mode == 'shared':
            return (0,) * len(self.layers)
        return tuple(self.arch_params[:, position].argmax(dim=-1).tolist())

    def sample_routing(self, task: str) -> Tensor:
        """Draw the relaxed routing ``z`` of one task, ``(L, C)``, rows summing to 1 (Eq. 2)."""
        return F.gumbel_softmax(self.arch_params[:, self.tasks.index(task)], tau=self.tau, dim=-1)

    def forward(
        self, x: Tensor, tasks: Sequence[str] | None = None
    ) -> dict[str, Features] | Features:
        """Encode images for some tasks, one after another.

        Args:
            x: Images, ``(N, 3, H, W)``.
            tasks: The tasks to encode for; by default all, or the ``task`` of the constructor.

        Returns:
            The features of each task; of a single ``task`` by themselves.
        """
        if self.training and x.device.type == 'cpu':  # faster there, and rounded otherwise
            x = x.contiguous(memory_format=torch.channels_last)
        if tasks is None and self.task is not None:
            return self.encode(self.stem(x), self.task)
        x = self.stem(x)
        return {task: self.encode(x, task) for task in (self.tasks if tasks is None else tasks)}

    def forward_along(
        self, x: Tensor, routings: Mapping[str, Sequence[int]]
    ) -> dict[str, Features]:
        """Encode images for some tasks, each along given candidates.

        Args:
            x: Images, ``(N, 3, H, W)``.
            routings: The candidate of each layer, by task.
        """
        x = self.stem(x)
        return {task: self._run(x, routing) for task, routing in routings.items()}

    def encode(self, x: Tensor, task: str) -> Features:
        """Send the stem's output through all layers as ``task`` is routed."""
        if self.routing_mode == 'relaxed' and self.training:
            return self._run(x, self.mixtures(self.sample_routing(task)))
        return self._run(x, self.routing(task))

    def _run(self, x: Tensor, routing: Sequence[int | Mixture]) -> Features:
        """Send the stem's output through all layers."""
        levels = {}
        for index, (candidates, choice) in enumerate(zip(self.layers, routing, strict=True)):
            form: Form = 'wide'
            if not isinstance(choice, int) and len(choice) > 1:
                form = self.forms.of(index, candidates, x)
            if self.with_cp:
                x = run_checkpointed(_run_layer, candidates, candidates, choice, x, form)
            else:
                x = _run_layer(candidates, choice, x, form)
            if index in self.taps:
                levels[index] = x
        return tuple(levels[tap] for tap in self.taps)

    def export_architecture(
        self, source: str | dict[str, Any] | None = None
    ) -> BranchedArchitecture:
        """Return the tree of the most probable candidates (paper, section 3.2)."""
        return BranchedArchitecture.from_arch_params(
            self.arch_params.detach().cpu(),
            tasks=self.tasks,
            encoder=self.encoder.to_config(),
            layers=self.encoder.layer_names,
            source=source,
        )

    @torch.no_grad()
    def route(self, groupings: Sequence[TaskGrouping]) -> None:
        """Make a tree the most probable one: every group takes its first task's candidate.

        Args:
            groupings: The grouping of each layer, each a refinement of the one before.
        """
        self.arch_params.zero_()
        for layer, grouping in enumerate(groupings):
            for group in grouping.groups:
                self.arch_params[layer, [*group], group[0]] = _DECIDED

    def init_weights(self) -> None:
        """Initialise all candidates as ``init_cfg`` says, those of a layer alike.

        ImageNet weights make candidates alike, as in the paper. What starts from random weights
        (all of it without ``init_cfg``, the context module in any case) is copied from the first
        candidate too (our choice): channels of unrelated candidates mean nothing to the layers
        that follow, so a task could not take a layer from another's column. See also
        :func:`init_encoder`.
        """
        affine = set()
        for index, candidates in enumerate(self.layers):
            norm = self.encoder.last_norm(candidates[0])
            if norm is None:
                continue
            name = next(name for name, child in candidates[0].named_modules() if child is norm)
            affine |= {f'layers.{index}.{name}.weight', f'layers.{index}.{name}.bias'}
        copies = ((index, copy) for index, layer in enumerate(self.layers) for copy in layer)
        init_encoder(self.encoder, self.stem, copies, self.init_cfg, unused=affine.__contains__)
        self.copy_first_candidates()
        self._is_init = True

    def copy_first_candidates(self) -> None:
        """Give all candidates of a layer the weights and statistics of its first."""
        for first, *others in self.layers:
            for other in others:
                other.load_state_dict(first.state_dict())

    def starts_alike(self) -> bool:
        """Whether the candidates of every layer hold equal weights."""
        return all(
            torch.equal(value, other.state_dict()[name])
            for first, *others in self.layers
            for other in others
            for name, value in first.state_dict().items()
        )

    def get_extra_state(self) -> Tensor:
        """Return tasks and encoder as JSON bytes: what an export needs beside parameters.

        Also the forms that were timed, if any.
        """
        timed = {'forms': self.forms.timed} if self.forms.timed else {}
        return encode_json({**self._identity(), **timed})

    def _identity(self) -> dict[str, Any]:
        return {'tasks': [*self.tasks], 'encoder': self.encoder.to_config()}

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse weights of a supernet for other tasks or another encoder.

        Raises:
            ValueError: Tasks or encoder differ.
        """
        found, own = decode_json(state), decode_json(encode_json(self._identity()))
        timed = found.pop('forms', {})
        if kind_of(found) != 'search':
            raise InputError(
                f'the checkpoint is of a network for the tasks {found.get("tasks")} that was '
                'trained, not searched: expected the checkpoint of a search'
            )
        if found != own:
            raise InputError(
                f'the checkpoint holds a supernet for {found}, the config one for {own}'
            )
        if self.forms.choice == 'timed':
            self.forms.load(timed)


def _drop_affine(norm: nn.Module) -> None:
    """Let a normalisation of any kind neither scale nor shift."""
    for flag in ('affine', 'elementwise_affine'):
        if hasattr(norm, flag):
            setattr(norm, flag, False)
    norm.register_parameter('weight', None)
    norm.register_parameter('bias', None)


def _run_layer(
    candidates: nn.ModuleList, routing: int | Mixture, x: Tensor, form: Form = 'wide'
) -> Tensor:
    """Run one candidate, or sum the outputs of some by their weights."""
    if isinstance(routing, int):
        return candidates[routing](x)
    if len(routing) > 1 and wide.fits(candidates):
        return run(form, [candidates[index] for index in routing], [*routing.values()], x)
    (first, weight), *others = routing.items()
    output = weight * candidates[first](x)
    for candidate, weight in others:
        output = output + weight * candidates[candidate](x)
    return output


@torch.no_grad()
def copy_supernet_weights(supernet: BranchedSupernet, network: BranchedNetwork) -> None:
    """Copy the weights along the supernet's one-hot routing into a branched network.

    The tree must be the one of that routing; then both compute the same in evaluation. Parameters
    the supernet lacks, its last normalisations' affine, become the identity.

    Raises:
        ValueError: The tree is not that of the supernet's routing.
    """
    routings = {task: supernet.routing(task) for task in network.tasks}
    tree = BranchedArchitecture.from_routing(network.tasks, supernet.encoder.to_config(), routings)
    if tree != network.architecture:
        raise InputError(
            f'the supernet routes as {tree.describe()}, '
            f'the network is {network.architecture.describe()}'
        )
    network.stem.load_state_dict(supernet.stem.state_dict())
    for index, (branches, grouping) in enumerate(zip(network.layers, tree.groupings, strict=True)):
        for branch, group in zip(branches, grouping.groups, strict=True):
            norm: Any = network.encoder.last_norm(branch)
            if norm is not None and norm.weight is not None:
                nn.init.ones_(norm.weight)
                nn.init.zeros_(norm.bias)
            candidate = supernet.layers[index][routings[network.tasks[group[0]]][index]]
            branch.load_state_dict(candidate.state_dict(), strict=False)
