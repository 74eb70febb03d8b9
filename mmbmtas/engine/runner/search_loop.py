"""The search: weights and architecture parameters in turn, on two splits of the training images."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from mmbmtas.engine.failures import divergence_located, worker_death_explained
from mmbmtas.engine.optimizers import JacobianOptimWrapper
from mmbmtas.engine.randomness import Stream, seed_all
from mmbmtas.engine.unlabelled import require_labels
from mmbmtas.errors import InputError
from mmbmtas.models.segmentors import SearchEncoderDecoder
from mmbmtas.registry import LOOPS
from mmbmtas.structures.values import filled_in_from

from .search_plan import Phase, Position, SearchPlan
from .train_loader import (
    batch_size_of,
    batches,
    build_dataset,
    build_train_loader,
    is_endless,
    whole_batches,
)

_PHASES = {'warmup': 'warm-up', 'arch': 'architecture phase', 'weights': 'weight phase'}


@LOOPS.register_module()
class BranchedSearchLoop(BaseLoop):
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

    What an iteration or a sample draws at random depends on the seed and its place in the search
    alone, so that a resumed search goes on as the uninterrupted one, bit for bit on a CPU.

    Args:
        runner: The runner.
        dataloader: Config of the loader; both splits use it.
        weight_iters: Iterations of the weights, warm-up included.
        warmup_iters: Iterations in which candidate ``i`` alone serves task ``i``.
        arch_fraction: Share of the training images in the architecture split.
        split_seed: Seed of the split.

    Raises:
        ValueError: There are fewer than two training images, an argument is out of range, the
            loader's sampler is endless, or a task has no label in the training set.
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
    ) -> None:
        if not (isinstance(arch_fraction, float) and 0 < arch_fraction < 1):
            raise InputError(f'arch_fraction {arch_fraction}: expected a number between 0 and 1')
        self.dataset = build_dataset(dataloader['dataset'])
        self._split_seed = split_seed
        splits = split_dataset(self.dataset, arch_fraction, split_seed)
        streams = Stream.SAMPLES, Stream.ARCH_SAMPLES
        weight_loader, arch_loader = (
            _build_loader(runner, dataloader, split, stream, what)
            for split, stream, what in zip(splits, streams, ('weight', 'architecture'), strict=True)
        )
        super().__init__(runner, weight_loader)
        self.arch_dataloader = arch_loader
        self.plan = SearchPlan(
            weight_iters, warmup_iters, whole_batches(weight_loader), whole_batches(arch_loader)
        )
        if self.searches_by_gradient and self.plan.arch_iters == 0:
            raise InputError(
                f'train_cfg.warmup_iters {warmup_iters} are all of weight_iters {weight_iters}, so '
                'that nothing is searched: expected fewer'
            )
        self.position: Position = self.plan.position(0)
        self.task: str | None = None  # whose weights are being trained, where it is one alone
        self._phase: Phase | None = None
        self._iter = 0
        self.stop_training = False
        if hasattr(splits[0], 'metainfo'):
            runner.visualizer.dataset_meta = splits[0].metainfo

    @property
    def max_epochs(self) -> int:
        """As in mmengine's iteration-based loop, the whole search is one epoch."""
        return 1

    @property
    def epoch(self) -> int:
        """Always 0."""
        return 0

    @property
    def max_iters(self) -> int:
        """All iterations, those of the weights and of the architecture."""
        return self.plan.max_iters

    @property
    def iter(self) -> int:
        """Iterations done."""
        return self._iter

    @property
    def model(self) -> SearchEncoderDecoder:
        """The model without a distributed wrapper."""
        model = self.runner.model
        return model.module if is_model_wrapper(model) else model

    def run(self) -> SearchEncoderDecoder:
        """Search, from the iteration that the runner was resumed at."""
        plan = self.plan
        print_log(
            f'Search: {plan.weight_iters} iterations of the weights ({plan.warmup_iters} of them '
            f'warm-up) and {plan.arch_iters} of the architecture, in passes of '
            f'{plan.weight_batches} and {plan.arch_batches} batches.',
            logger='current',
        )
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        self._check_plan()
        data_batches = require_labels(
            self._batches(), self.runner.model, self.dataset, self.runner.seed
        )
        with worker_death_explained('train_dataloader', self.where):
            while self._iter < self.max_iters and not self.stop_training:
                self.position = plan.position(self._iter)
                self.enter(self.position.phase)
                self.run_iter(next(data_batches))
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _check_plan(self) -> None:
        """Warn where a resumed search does not go on as it began."""
        hub, plan = self.runner.message_hub, self.plan
        passes = [plan.warmup_iters, plan.weight_batches, plan.arch_batches]
        begun = hub.runtime_info.get('search_passes', passes)
        hub.update_info('search_passes', passes)
        if begun != passes:
            print_log(
                f'The search began with {begun[0]} iterations of warm-up and passes of {begun[1]} '
                f'and {begun[2]} batches, other than now: from iteration {self._iter + 1} on its '
                'phases are those of the new plan. For the search that it was, resume with the '
                'total_batch_size, the warm-up and the images that it began with.',
                logger='current',
                level=logging.WARNING,
            )
        seed = hub.runtime_info.get('search_split_seed', self._split_seed)
        hub.update_info('search_split_seed', self._split_seed)
        if seed != self._split_seed:
            print_log(
                f'The search began with train_cfg.split_seed={seed}, now {self._split_seed}: from '
                f'iteration {self._iter + 1} on the images are split anew, and the architecture '
                'learns on some that have trained the weights.',
                logger='current',
                level=logging.WARNING,
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

    def enter(self, phase: Phase) -> None:
        """Route and give gradients as the phase needs, if it has just begun."""
        if phase == self._phase:
            return
        self._phase = phase
        backbone = self.model.backbone
        backbone.set_routing_mode('warmup' if phase == 'warmup' else 'relaxed')
        for parameter in self.model.parameters():
            parameter.requires_grad_(phase != 'arch')
        for parameter in backbone.architecture_parameters():
            parameter.requires_grad_(phase == 'arch')
        if self.model.loss_balancing is not None:
            self.model.loss_balancing.train(phase != 'arch')

    def run_iter(self, data_batch: Any) -> None:
        """Train on one batch.

        Args:
            data_batch: What the loader gives: ``dict(inputs=..., data_samples=...)``.
        """
        seed_all(self.runner.seed, Stream.ITERATION, self._iter)
        arguments = dict(batch_idx=self._iter, data_batch=data_batch)
        self.runner.call_hook('before_train_iter', **arguments)
        with divergence_located(self, data_batch):
            data = self.model.data_preprocessor(data_batch, True)
            tasks = self.model.labelled_tasks(data['data_samples'])
            step = self._step_arch if self.position.phase == 'arch' else self._step_weights
            outputs = step(data, tasks)
            self.runner.call_hook('after_train_iter', **arguments, outputs=outputs)
        self._iter += 1

    def where(self) -> str:
        """Say at which iteration the search is, and in which phase."""
        return f'iteration {self._iter + 1} of {self.max_iters} ({_PHASES[self.position.phase]})'

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
        """Accumulate the gradients of all tasks and of the resource loss, then step once."""
        wrapper = self.runner.optim_wrapper['arch_params']
        self.task = None
        logs: list[dict[str, Tensor]] = []
        for index, chosen in enumerate([[task] for task in tasks] or [[]]):
            with wrapper.optim_context(self.runner.model):
                losses = self.runner.model(
                    **data, mode='loss', tasks=chosen, with_resource_loss=index == 0
                )
            loss, log = self.model.parse_losses(losses)
            wrapper.backward(loss)
            logs.append(log)
        wrapper.step()
        wrapper.zero_grad()
        return _merge(logs)


def split_dataset(dataset: Any, arch_fraction: float, seed: int) -> tuple[Subset, Subset]:
    """Split a dataset at random into a weight and an architecture split.

    Args:
        dataset: The training images.
        arch_fraction: Share of the second split, rounded to whole images.
        seed: Seed of the permutation; every rank must use the same.

    Returns:
        The weight split and the architecture split, disjoint and exhaustive, neither empty.

    Raises:
        ValueError: There are fewer than two images.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(dataset), generator=generator).tolist()
    if len(order) < 2:
        raise InputError(f'{len(order)} training images cannot be split: expected at least 2')
    cut = len(order) - min(max(round(arch_fraction * len(order)), 1), len(order) - 1)
    splits = Subset(dataset, order[:cut]), Subset(dataset, order[cut:])
    for split in splits:
        if hasattr(dataset, 'metainfo'):
            split.metainfo = dataset.metainfo  # type: ignore[attr-defined]
    return splits


def _build_loader(
    runner: Runner, cfg: dict[str, Any], split: Subset, stream: Stream, what: str
) -> DataLoader:
    """Build the loader of one split, whole batches only.

    Raises:
        ValueError: The split has fewer images than a batch, or its sampler is endless.
    """
    batch = batch_size_of(cfg) * get_world_size()
    if len(split) < batch:
        raise InputError(
            f'the {what} split has {len(split)} of {len(split.dataset)} training images, fewer '  # type: ignore[arg-type]
            f'than the {batch} of a batch: expected a smaller total_batch_size, another '
            'train_cfg.arch_fraction or more images'
        )
    loader = build_train_loader(runner, {**cfg, 'dataset': split, 'drop_last': True}, stream)
    if is_endless(loader):
        raise InputError(
            'train_dataloader.sampler is endless, but a search passes over its two splits in turn: '
            "expected dict(type='DefaultSampler', shuffle=True)"
        )
    return loader


def _merge(logs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Merge the logs of several tasks; ``loss`` is their sum."""
    merged: dict[str, Tensor] = {}
    for log in logs:
        total = log['loss'] + merged.get('loss', 0)
        merged |= log | {'loss': total}
    return merged
