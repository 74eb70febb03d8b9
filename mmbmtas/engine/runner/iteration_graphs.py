"""Forward and backward passes of a search as CUDA graphs: launched once, then replayed as a whole.

A GPU that computes small maps waits for the CPU to launch the next of some thousand kernels. A
graph holds all of a pass and is launched by one call. What Python decides is decided once, when the
pass is recorded; numbers that change must be in memory that the graph reads. So here a batch is
copied to where the first one lay, and the temperature is a number on the GPU.

Steps of optimisers are not recorded. They read learning rates from Python, clear their state where
a phase begins, and come after a look at the losses; a step of all parameters at once
(``foreach``) launches few kernels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mmbmtas.engine.wrapping import unwrapped
from mmbmtas.errors import InputError
from mmbmtas.models.backbones import BranchedSupernet, SoftRouting
from mmbmtas.structures.data_sample import MultiTaskDataSample

Batch = dict[str, Any]
Differentiate = Callable[[Batch], dict[str, Tensor]]
"""Gives parameters gradients of the losses of a preprocessed batch, and returns values to log."""

_WARM_UPS = 3
"""Passes before one is recorded, in which libraries choose kernels and reserve memory."""
_SETTING = 'train_cfg.graphs=True'
_HINT = f'leave out {_SETTING}'


@dataclass(frozen=True)
class _Recorded:
    """A pass that can be replayed.

    Attributes:
        graph: What to launch.
        log: Values for the log, which a replay writes.
        gradients: Parameters that receive gradients, and where a replay writes these.
    """

    graph: Any
    log: dict[str, Tensor]
    gradients: list[tuple[nn.Parameter, Tensor]]


class IterationGraphs:
    """Records each kind of pass when it first comes, and replays it from then on.

    A replay must be used up before the next: they share their memory.

    Args:
        model: The network of a search on a GPU. From the first recording on its parameters and
            buffers must stay where they are.

    Raises:
        InputError: Something in the network's passes is decided on the CPU, or there is no GPU.
    """

    def __init__(self, model: Any) -> None:
        require_recordable(model)
        self._model = model
        self._device = next(model.parameters()).device
        self._tau = torch.zeros((), device=self._device)
        self._pool = torch.cuda.graph_pool_handle()
        self._batch: Batch = {}
        self._recorded: dict[tuple[str, ...], _Recorded] = {}

    def run(self, kind: tuple[str, ...], batch: Batch, differentiate: Differentiate) -> dict:
        """Give parameters the gradients that a pass would, which must not have any.

        Args:
            kind: What distinguishes the pass from others: its phase and its tasks.
            batch: ``inputs`` and ``data_samples`` on the GPU.
            differentiate: The pass itself.

        Returns:
            Values for the log, on the GPU; the next replay overwrites them.

        Raises:
            InputError: The batch is of another form than the first one, or the pass waits for the
                GPU.
        """
        self._load(batch)
        self._tau.fill_(self._model.backbone.tau)
        if kind not in self._recorded:
            self._recorded[kind] = self._record(kind, differentiate)
        recorded = self._recorded[kind]
        recorded.graph.replay()
        for parameter, gradient in recorded.gradients:
            parameter.grad = gradient
        return recorded.log

    def _load(self, batch: Batch) -> None:
        """Copy a batch to the place of the first one."""
        if not self._batch:
            samples = [sample.with_tensors(torch.clone) for sample in batch['data_samples']]
            self._batch = {'inputs': batch['inputs'].clone(), 'data_samples': samples}
            return
        own, new = _named_tensors(self._batch), _named_tensors(batch)
        for name in own | new:
            forms = [_form(tensors.get(name)) for tensors in (own, new)]
            if forms[0] != forms[1]:
                raise InputError(
                    f'{_SETTING} needs batches of one form: {name} is {forms[1]}, in the first '
                    f'batch it was {forms[0]}; crop all images to one size and give all of them '
                    f'labels of the same tasks, or {_HINT}'
                )
        torch._foreach_copy_([*own.values()], [new[name] for name in own])

    def _record(self, kind: tuple[str, ...], differentiate: Differentiate) -> _Recorded:
        """Record a pass, which changes nothing yet."""
        backbone = self._model.backbone
        tau, backbone.tau = backbone.tau, self._tau
        graph = torch.cuda.CUDAGraph()
        try:
            self._warm_up(differentiate)
            # Loaders' threads may pin memory meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode='thread_local'):
                log = differentiate(self._batch)
        except RuntimeError as error:
            raise InputError(
                f'{_SETTING}: the pass of {" ".join(kind)} cannot be recorded ({error}). Losses '
                'that look at numbers on the CPU cannot be: class_weight and pixel samplers of '
                f'mmseg are among them; leave these out, or {_HINT}'
            ) from error
        finally:
            backbone.tau = tau
        return _Recorded(graph, log, [*self._take_gradients()])

    def _warm_up(self, differentiate: Differentiate) -> None:
        """Run a pass on a stream of its own, as recording needs, and leave no trace of it."""
        buffers = [*self._model.buffers()]
        before = [buffer.clone() for buffer in buffers]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.random.fork_rng(devices=[self._device]), torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                differentiate(self._batch)
                self._take_gradients()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)

    def _take_gradients(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Take the gradients from all parameters."""
        found = []
        for parameter in self._model.parameters():
            if parameter.grad is not None:
                found.append((parameter, parameter.grad))
                parameter.grad = None
        return found


def require_recordable(model: Any) -> None:
    """Refuse a network whose passes cannot be recorded.

    Raises:
        InputError: There is no GPU, there are several ranks, or something is decided on the CPU.
    """
    network = unwrapped(model)
    device = next(network.parameters()).device
    if device.type != 'cuda':
        raise InputError(
            f'{_SETTING} records CUDA graphs, but the network is on {device}: run it on a GPU '
            f'(CUDA_VISIBLE_DEVICES), or {_HINT}'
        )
    if network is not model:
        raise InputError(f'{_SETTING} is for one GPU, not for several ranks: {_HINT}')
    backbone = network.backbone
    if not isinstance(backbone, BranchedSupernet):
        found = f'model.backbone.type {type(backbone).__name__}, expected BranchedSupernet'
    elif type(backbone.mixtures) is not SoftRouting:
        routing = type(backbone.mixtures).__name__
        found = f'model.backbone.routing {routing} chooses candidates on the CPU'
    elif backbone.with_cp:
        found = 'model.backbone.with_cp=True restores random states on the CPU'
    elif network.loss_balancing is not None:
        balancing = type(network.loss_balancing).__name__
        found = f'model.loss_balancing {balancing} learns from numbers on the CPU'
    else:
        return
    raise InputError(f'{_SETTING}: {found}; leave this out, or {_HINT}')


def require_plain_wrapper(name: str, wrapper: OptimWrapper) -> None:
    """Refuse an optimiser's wrapper that acts within a pass.

    Raises:
        InputError: It scales losses, aggregates or accumulates gradients.
    """
    kind, counts = type(wrapper), wrapper._accumulative_counts
    if kind is not OptimWrapper or counts != 1:
        raise InputError(
            f'{_SETTING}: optim_wrapper.{name} is {kind.__name__} with accumulative_counts='
            f'{counts}, expected a plain OptimWrapper that steps after each pass (no --amp, whose '
            f'loss scaler looks at gradients on the CPU), or {_HINT}'
        )


def _named_tensors(batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a batch by name."""
    samples: list[MultiTaskDataSample] = batch['data_samples']
    named = [(f'{k}.{n}', t) for k, s in enumerate(samples) for n, t in s.named_tensors().items()]
    return {'inputs': batch['inputs'], **dict(named)}


def _form(tensor: Tensor | None) -> str:
    return 'missing' if tensor is None else f'{tensor.dtype} {tuple(tensor.shape)}'
