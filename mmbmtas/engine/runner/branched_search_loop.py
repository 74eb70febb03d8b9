"""The search of trees: weights and architecture parameters in turn, on two splits of the images."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from mmbmtas.engine.optimizers import JacobianOptimWrapper
from mmbmtas.errors import InputError
from mmbmtas.models.backbones import BranchedSupernet
from mmbmtas.models.backbones.protocols import RoutingMode
from mmbmtas.models.segmentors import SearchEncoderDecoder
from mmbmtas.registry import LOOPS
from mmbmtas.structures import BranchedArchitecture, RoutedArchitecture
from mmbmtas.structures.values import filled_in_from, require_switch

from .expected_costs import expected_latency_of, expected_madds_of
from .iteration_graphs import IterationGraphs, require_plain_wrapper, require_recordable
from .search_loop import SearchLoop
from .search_plan import Phase, Position, SearchPlan
from .train_loader import batches, is_endless, whole_batches

_PHASES = {
    'shared': 'shared start',
    'warmup': 'warm-up',
    'arch': 'architecture phase',
    'weights': 'weight phase',
}
_ROUTING_MODES: dict[Phase, RoutingMode] = {
    'shared': 'shared',
    'warmup': 'warmup',
    'arch': 'relaxed',
    'weights': 'relaxed',
}


@LOOPS.register_module()
class BranchedSearchLoop(SearchLoop):
    """Train a supernet and its architecture parameters in turn (paper, section 3.2).

    The dataset of ``train_dataloader`` is split once, by ``split_seed``, into a weight and an
    architecture split. An iteration is one batch and all tasks labelled in it, one after another:
    the weight optimiser steps after each task; the architecture optimiser once, on the gradients
    of all tasks and of the resource loss. Only the parameters of the phase receive gradients.

    With ``loss_balancing`` in the model, its weights learn in iterations of the weights and count
    in both phases. A :class:`JacobianOptimWrapper` for ``weights`` steps once an iteration, on the
    aggregated gradients of all tasks (both our choice).

    The runner's ``optim_wrapper`` must hold ``weights`` and ``arch_params``
    (:class:`SearchOptimWrapperConstructor`), its model be a :class:`SearchEncoderDecoder`.

    Args:
        runner: The runner.
        dataloader: Config of the loader; both splits use it.
        weight_iters: Iterations of the weights, warm-up included.
        warmup_iters: Iterations before the architecture trains. After the shared part of them,
            candidate ``i`` alone serves task ``i``.
        arch_fraction: Share of the training images in the architecture split.
        split_seed: Seed of the split.
        shared_fraction: Share of the warm-up, from 0 to below 1. In this first part all tasks train
            one shared network, the first candidates. Then the other candidates become copies of
            these, and the optimiser of the weights forgets its state (our choice; the paper has no
            shared start).
        graphs: Record the forward and backward passes as CUDA graphs and replay them
            (:mod:`mmbmtas.engine.runner.iteration_graphs`): the same numbers up to rounding,
            without a launch for each kernel. It needs one GPU, images of one size that have labels
            of the same tasks, single precision and a network that decides nothing on the CPU.

    Raises:
        ValueError: There are fewer than two training images, an argument is out of range, the
            loader's sampler is endless, a task has no label in the training set, or ``graphs``
            cannot be recorded.
        DivergenceError: The search has diverged; the message says where.
        WorkerError: A worker of the loader has died.

    Example:
        >>> train_cfg = dict(type='BranchedSearchLoop', weight_iters=40000, warmup_iters=2000)
    """

    searches_by_gradient = True
    """Whether the architecture parameters are trained."""

    @filled_in_from('weight_iters', 'train_cfg.weight_iters')
    def __init__(
        self,
        runner: Runner,
        dataloader: dict[str, Any],
        weight_iters: int,
        warmup_iters: int = 0,
        arch_fraction: float = 0.2,
        split_seed: int = 0,
        graphs: bool = False,
        shared_fraction: float = 0.0,
    ) -> None:
        if require_switch('train_cfg.graphs', graphs):
            require_recordable(runner.model)
        self._records = graphs
        super().__init__(runner, dataloader, dataloader, arch_fraction, split_seed)
        self.plan = SearchPlan(
            weight_iters,
            warmup_iters,
            whole_batches(self.dataloader),
            whole_batches(self.arch_dataloader),
        ).with_shared_start(shared_fraction)
        if shared_fraction:
            self._supernet()  # refuses others
        if self.searches_by_gradient and self.plan.arch_iters == 0:
            raise InputError(
                f'train_cfg.warmup_iters {warmup_iters} are all of weight_iters {weight_iters}, so '
                'that nothing is searched: expected fewer'
            )
        self.position: Position = self.plan.position(0)
        self._phase: Phase | None = None

    @property
    def max_iters(self) -> int:
        """All iterations, those of the weights and of the architecture."""
        return self.plan.max_iters

    @property
    def model(self) -> SearchEncoderDecoder:
        """The model without a distributed wrapper."""
        return super().model

    def _supernet(self) -> BranchedSupernet:
        """The backbone, for what needs to know its candidates.

        Raises:
            InputError: It is of another kind.
        """
        backbone = self.model.backbone
        if not isinstance(backbone, BranchedSupernet):
            raise InputError(
                f'{type(backbone).__name__}: similarities of tasks and train_cfg.shared_fraction '
                'need a BranchedSupernet; search with BranchedSearchLoop and without '
                'shared_fraction'
            )
        return backbone

    def describe(self) -> str:
        """Say how many iterations there are of what."""
        plan = self.plan
        shared = f', which begins with {plan.shared_iters} shared' if plan.shared_iters else ''
        return (
            f'Search: {plan.weight_iters} iterations of the weights ({plan.warmup_iters} of them '
            f'warm-up{shared}) and {plan.arch_iters} of the architecture, in passes of '
            f'{plan.weight_batches} and {plan.arch_batches} batches.'
        )

    def check_resumed(self) -> None:
        """Warn where a search begins with unlike candidates, or does not go on as it began."""
        plan = self.plan
        self.tell_of_change(
            'search_passes',
            [plan.warmup_iters, plan.weight_batches, plan.arch_batches],
            'The search began with {begun[0]} iterations of warm-up and passes of {begun[1]} and '
            '{begun[2]} batches, other than now: from iteration {iteration} on its phases are '
            'those of the new plan. For the search that it was, resume with the '
            'total_batch_size, the warm-up and the images that it began with.',
        )
        self._keep_shared_start()
        if self._iter == 0 and isinstance(self.model.backbone, BranchedSupernet):
            _tell_of_unlike_candidates(self.model.backbone, plan.shared_iters)
        super().check_resumed()

    def _keep_shared_start(self) -> None:
        """Let a resumed search have the shared start that it began with.

        Another would part the tasks a second time, or before they had something to part from.
        """
        hub, now = self.runner.message_hub, self.plan.shared_iters
        begun = hub.runtime_info.get('search_shared_iters', 0) if self._iter else now
        hub.update_info('search_shared_iters', begun)
        if begun != now:
            self.plan = replace(self.plan, shared_iters=min(begun, self.plan.warmup_iters))
            print_log(
                f'The search began with {begun} iterations of one shared network and keeps to '
                f'them; train_cfg.shared_fraction would now give {now}.',
                logger='current',
                level=logging.WARNING,
            )

    def check_loader(self, loader: DataLoader) -> None:
        """Refuse an infinite sampler: an epoch over a split must end.

        Raises:
            InputError: The sampler is endless.
        """
        if is_endless(loader):
            raise InputError(
                'train_dataloader.sampler is infinite, but a search iterates over its two splits '
                "in turn: expected dict(type='DefaultSampler', shuffle=True)"
            )

    def _batches(self) -> Iterator[Any]:
        """Yield the batch of each iteration from the current one on."""
        iterator: Iterator[Any] = iter(())
        resumed = True
        for iteration in range(self._iter, self.max_iters):
            position = self.plan.position(iteration)
            if position.batch == 0 or resumed:
                loader: Any = self.arch_dataloader if position.phase == 'arch' else self.dataloader
                iterator = batches(loader, position.epoch, position.batch)
                resumed = False
            yield next(iterator)

    def begin_iter(self) -> None:
        """Enter the phase of the next iteration, if it has just begun."""
        self.position = self.plan.position(self._iter)
        if self._iter == self.plan.shared_iters > 0:
            self._supernet().copy_first_candidates()
            wrapper = self.runner.optim_wrapper['weights']
            wrapper.zero_grad()  # what accumulates is of another network
            wrapper.optimizer.state.clear()
        self.enter(self.position.phase)

    def enter(self, phase: Phase) -> None:
        """Route and give gradients as the phase needs, if it has just begun."""
        if phase == self._phase:
            return
        self._phase = phase
        backbone = self.model.backbone
        backbone.set_routing_mode(_ROUTING_MODES[phase])
        for parameter in self.model.parameters():
            parameter.requires_grad_(phase != 'arch')
        for parameter in backbone.architecture_parameters():
            parameter.requires_grad_(phase == 'arch')
        if self.model.loss_balancing is not None:
            self.model.loss_balancing.train(phase != 'arch')

    def step(self, data: dict[str, Any]) -> dict[str, Tensor]:
        """Train weights or architecture parameters, depending on the phase."""
        tasks = self.model.labelled_tasks(data['data_samples'])
        if self._records:
            return self._replay(data, tasks)
        step = self._step_arch if self.position.phase == 'arch' else self._step_weights
        return step(data, tasks)

    def where(self) -> str:
        """Say at which iteration the search is, and in which phase."""
        return f'iteration {self._iter + 1} of {self.max_iters} ({_PHASES[self.position.phase]})'

    def measured(self, architecture: RoutedArchitecture) -> dict[str, float]:
        """Return what the distribution and its most probable tree cost.

        Args:
            architecture: That tree.

        Returns:
            ``expected_gmadds`` and ``argmax_gmadds``, and ``expected_latency_ms`` and
            ``argmax_latency_ms`` where the resource loss has a latency table.
        """
        model, tree = self.model, BranchedArchitecture.of(architecture)
        probs = model.backbone.routing_probs()
        layer_madds = torch.tensor(model.network_cost.layer_madds, dtype=torch.float64)
        expected = expected_madds_of(probs, layer_madds) + model.fixed_cost.madds
        values = {
            'expected_gmadds': expected / 1e9,
            'argmax_gmadds': model.network_cost.tree(tree).madds / 1e9,
        }
        if (table := model.resource_loss.latency) is not None:
            values['expected_latency_ms'] = expected_latency_of(probs, table)
            values['argmax_latency_ms'] = table.tree(tree)
        return values

    def describe_cost(self, architecture: RoutedArchitecture) -> str:
        """State the cost of a tree, also by the latency table of the resource loss."""
        tree = BranchedArchitecture.of(architecture)
        cost, table = tree.madds or {}, self.model.resource_loss.latency
        latency = '' if table is None else f', {table.tree(tree):.2f} ms by the latency table'
        return f'{cost["network"] / 1e9:.3f} billion multiply-adds at {cost["shape"]}{latency}'

    def describe_miss(self, architecture: RoutedArchitecture) -> str | None:
        """Say by how much a tree misses the budget of the resource loss, and what may help."""
        tree, loss = BranchedArchitecture.of(architecture), self.model.resource_loss
        table, madds = loss.latency, tree.madds or {}
        miss = loss.describe_miss(madds['network'] if table is None else table.tree(tree))
        if miss is None:
            return None
        held = '' if loss.budgeted == 'argmax' else ", model.resource_loss.budgeted='argmax'"
        return (
            f'The tree misses the budget: its cost is {miss}. What may help: a larger '
            f'model.resource_loss.weight{held}, a longer search'
        )

    def _step_weights(self, data: dict[str, Any], tasks: Sequence[str]) -> dict[str, Tensor]:
        """Step the weights after each task, or once where gradients are aggregated."""
        wrapper = self.runner.optim_wrapper['weights']
        aggregates = isinstance(wrapper, JacobianOptimWrapper)
        logs: list[dict[str, Tensor]] = []
        with self.model.one_iteration():
            for task in tasks:
                self.task = None if aggregates else task
                with wrapper.optim_context(self.runner.model):
                    losses = self.runner.model(**data, mode='loss', tasks=[task])
                loss, log = self.model.parse_losses(losses)
                if aggregates:
                    wrapper.backward(loss)
                else:
                    wrapper.update_params(loss)
                logs.append(log)
        if aggregates and tasks:
            wrapper.step()
            wrapper.zero_grad()
        return _merge(logs)

    def _step_arch(self, data: dict[str, Any], tasks: Sequence[str]) -> dict[str, Tensor]:
        """Accumulate the gradients of all tasks and of the resource loss, then step once.

        A GPU is waited for once, before the step: the losses must be finite.
        """
        wrapper = self.runner.optim_wrapper['arch_params']
        self.task = None
        log = self.model.look_at(self._differentiate(data, wrapper, tasks, True))
        wrapper.step()
        wrapper.zero_grad()
        return log

    def _differentiate(
        self,
        data: dict[str, Any],
        wrapper: OptimWrapper,
        tasks: Sequence[str],
        with_resource_loss: bool,
    ) -> dict[str, Tensor]:
        """Add gradients of the losses of some tasks, one after another; waits for no GPU."""
        logs: list[dict[str, Tensor]] = []
        for index, chosen in enumerate([[task] for task in tasks] or [[]]):
            with wrapper.optim_context(self.runner.model):
                losses = self.runner.model(
                    **data,
                    mode='loss',
                    tasks=chosen,
                    with_resource_loss=with_resource_loss and index == 0,
                )
            loss, log = self.model.sum_losses(losses)
            wrapper.backward(loss)
            logs.append({name: value.detach() for name, value in log.items()})
        return _merge(logs)

    @cached_property
    def _graphs(self) -> IterationGraphs:
        """What records; made when the wrappers are there."""
        for name, wrapper in self.runner.optim_wrapper.items():
            require_plain_wrapper(name, wrapper)
        return IterationGraphs(self.runner.model)

    def _replay(self, data: dict[str, Any], tasks: Sequence[str]) -> dict[str, Tensor]:
        """Do what the other steps do, with recorded passes."""
        phase = self.position.phase
        learns_arch = phase == 'arch'
        wrapper = self.runner.optim_wrapper['arch_params' if learns_arch else 'weights']
        logs: list[dict[str, Tensor]] = []
        for chosen in [[*tasks]] if learns_arch else [[task] for task in tasks]:
            self.task = None if learns_arch else chosen[0]
            pass_ = partial(
                self._differentiate,
                wrapper=wrapper,
                tasks=chosen,
                with_resource_loss=learns_arch,
            )
            logs.append(self.model.look_at(self._graphs.run((phase, *chosen), data, pass_)))
            wrapper.step()
            wrapper.zero_grad()
        return _merge(logs)


def _tell_of_unlike_candidates(supernet: BranchedSupernet, shared_iters: int) -> None:
    """Warn if a search begins with candidates whose weights differ."""
    if supernet.starts_alike():
        return
    then = (
        f'After iteration {shared_iters} they become copies of the first, and lose these weights'
        if shared_iters
        else 'So their features differ before their tasks have trained them; expected: weights by '
        'model.backbone.init_cfg, which all candidates receive, or a train_cfg.shared_fraction'
    )
    print_log(
        f'The candidates of a layer start from different weights, perhaps by load_from. {then}.',
        logger='current',
        level=logging.WARNING,
    )


def _merge(logs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Merge the logs of several tasks; ``loss`` is their sum."""
    merged: dict[str, Tensor] = {}
    for log in logs:
        total = log['loss'] + merged.get('loss', 0)
        merged |= log | {'loss': total}
    return merged
