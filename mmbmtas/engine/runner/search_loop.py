"""The base of search loops: two splits of the images, iterations, resuming."""

import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader, Subset

from mmbmtas.engine.failures import divergence_located, worker_death_explained
from mmbmtas.engine.randomness import Stream, seed_all
from mmbmtas.engine.unlabelled import require_labels
from mmbmtas.engine.wrapping import unwrapped
from mmbmtas.errors import InputError
from mmbmtas.structures import RoutedArchitecture

from .train_loader import batch_size_of, build_dataset, build_train_loader, is_endless


class SearchLoop(BaseLoop):
    """Base of the loops that train a supernet and its architecture distribution.

    The dataset of ``train_dataloader`` is split once, by ``split_seed``, into a weight and an
    architecture split. What an iteration or a sample draws at random depends on the seed and its
    place in the search alone, so that a resumed search goes on as the uninterrupted one, bit for
    bit on a CPU.

    A subclass gives :attr:`max_iters`, :meth:`step` and what is abstract here; hooks ask it and its
    ``model``.

    Args:
        runner: The runner.
        dataloader: Config of the loader of the weight split.
        arch_dataloader: Config of the loader of the architecture split.
        arch_fraction: Share of the training images in the architecture split.
        split_seed: Seed of the split.

    Raises:
        InputError: The images cannot be split, or the loaders don't fit.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict[str, Any],
        arch_dataloader: dict[str, Any],
        arch_fraction: float,
        split_seed: int,
    ) -> None:
        if not (isinstance(arch_fraction, float) and 0 < arch_fraction < 1):
            raise InputError(f'arch_fraction {arch_fraction}: expected a number between 0 and 1')
        self.dataset = build_dataset(dataloader['dataset'])
        self._split_seed = split_seed
        splits = self.split(dataloader, arch_fraction, split_seed)
        configs = dataloader, arch_dataloader
        streams = Stream.SAMPLES, Stream.ARCH_SAMPLES
        names = 'weight', 'architecture'
        weight_loader, arch_loader = (
            self._build_loader(runner, *parts)
            for parts in zip(configs, splits, streams, names, strict=True)
        )
        super().__init__(runner, weight_loader)
        self.arch_dataloader = arch_loader
        self.task: str | None = None  # whose weights are being trained, where it is one alone
        self._iter = 0
        self.stop_training = False
        if hasattr(splits[0], 'metainfo'):
            runner.visualizer.dataset_meta = splits[0].metainfo

    @property
    def max_epochs(self) -> int:
        """Always 1: the whole search is one epoch, as in mmengine's iteration-based loop."""
        return 1

    @property
    def epoch(self) -> int:
        """Always 0."""
        return 0

    @property
    def iter(self) -> int:
        """Iterations done."""
        return self._iter

    @property
    def model(self) -> Any:
        """The model without a distributed wrapper."""
        return unwrapped(self.runner.model)

    def split(self, dataloader: dict[str, Any], fraction: float, seed: int) -> tuple[Subset, ...]:
        """Split the training images into a weight and an architecture split."""
        return split_dataset(self.dataset, fraction, seed)

    def run(self) -> Any:
        """Search, from the iteration that the runner was resumed at."""
        print_log(self.describe(), logger='current')
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        self.check_resumed()
        data_batches = require_labels(
            self._batches(), self.runner.model, self.dataset, self.runner.seed
        )
        with worker_death_explained('train_dataloader', self.where):
            while self._iter < self.max_iters and not self.stop_training:
                self.begin_iter()
                self.run_iter(next(data_batches))
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_iter(self, data_batch: Any) -> None:
        """Train on one batch.

        Args:
            data_batch: What the loader gives: ``dict(inputs=..., data_samples=...)``.
        """
        seed_all(self.runner.seed, Stream.ITERATION, self._iter)
        arguments = dict(batch_idx=self._iter, data_batch=data_batch)
        self.runner.call_hook('before_train_iter', **arguments)
        with divergence_located(self, data_batch):
            outputs = self.step(self.model.data_preprocessor(data_batch, True))
            self.runner.call_hook('after_train_iter', **arguments, outputs=outputs)
        self._iter += 1

    def check_resumed(self) -> None:
        """Warn where a resumed search does not go on as it began."""
        self.tell_of_change(
            'search_split_seed',
            self._split_seed,
            'The search began with train_cfg.split_seed={begun}, now {now}: from iteration '
            '{iteration} on the images are split anew, and the architecture learns on some that '
            'have trained the weights.',
        )

    def tell_of_change(self, name: str, value: Any, message: str) -> None:
        """Keep a setting in checkpoints, and warn if a resumed search had another.

        Args:
            name: The setting's name in checkpoints.
            value: What it is now.
            message: The warning, with ``{begun}``, ``{now}`` and ``{iteration}`` to fill in.
        """
        hub = self.runner.message_hub
        begun = hub.runtime_info.get(name, value)
        hub.update_info(name, value)
        if begun != value:
            print_log(
                message.format(begun=begun, now=value, iteration=self._iter + 1),
                logger='current',
                level=logging.WARNING,
            )

    def begin_iter(self) -> None:
        """Prepare what the next iteration needs, before its batch is asked for."""

    @property
    @abstractmethod
    def max_iters(self) -> int:
        """All iterations."""

    @abstractmethod
    def describe(self) -> str:
        """Say in a line what the search will do, for the log."""

    @abstractmethod
    def where(self) -> str:
        """Say at which iteration the search is."""

    @abstractmethod
    def _batches(self) -> Iterator[Any]:
        """Yield the batch of each iteration from the current one on."""

    @abstractmethod
    def step(self, data: dict[str, Any]) -> dict[str, Any]:
        """Train on a preprocessed batch; return what is logged, ``loss`` among it."""

    def export_architecture(self, source: str | dict[str, Any] | None = None) -> RoutedArchitecture:
        """Return the architecture that the search ends in if it ends now: the most probable one."""
        return self.model.export_architecture(source)

    @abstractmethod
    def measured(self, architecture: RoutedArchitecture) -> dict[str, float]:
        """Return costs for the log by name, in expectation and of the exported architecture.

        Args:
            architecture: The one that would be exported now.
        """

    @abstractmethod
    def describe_cost(self, architecture: RoutedArchitecture) -> str:
        """State the cost of an architecture in one line, for the log."""

    @abstractmethod
    def describe_miss(self, architecture: RoutedArchitecture) -> str | None:
        """Say by how much an architecture misses the budget, if there is one, and what may help."""

    @abstractmethod
    def check_loader(self, loader: DataLoader) -> None:
        """Refuse a loader that does not fit the search.

        Raises:
            InputError: It does not.
        """

    def _build_loader(
        self, runner: Runner, cfg: dict[str, Any], split: Subset, stream: Stream, what: str
    ) -> DataLoader:
        """Build the loader of one split, whole batches only.

        Raises:
            InputError: The split has fewer images than a batch and its sampler an end, or the
                sampler does not suit.
        """
        loader = build_train_loader(runner, {**cfg, 'dataset': split, 'drop_last': True}, stream)
        batch = batch_size_of(cfg) * get_world_size()
        if len(split) < batch and not is_endless(loader):
            raise InputError(
                f'the {what} split has {len(split)} of {len(self.dataset)} training images, fewer '
                f'than the {batch} of a batch: expected a smaller total_batch_size, another '
                'train_cfg.arch_fraction or more images'
            )
        self.check_loader(loader)
        return loader


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
    return split_groups(dataset, [range(len(dataset))], arch_fraction, seed)


def split_groups(
    dataset: Any, groups: Sequence[Sequence[int]], arch_fraction: float, seed: int
) -> tuple[Subset, Subset]:
    """Split each of some groups of a dataset's images as :func:`split_dataset` does.

    Args:
        dataset: The training images.
        groups: Indices of the images of each group.
        arch_fraction: As for :func:`split_dataset`.
        seed: As for :func:`split_dataset`; each group is permuted anew from it.

    Raises:
        ValueError: A group has fewer than two images.
    """
    weight, arch = [], []
    for group in groups:
        generator = torch.Generator().manual_seed(seed)
        order = [group[i] for i in torch.randperm(len(group), generator=generator).tolist()]
        if len(order) < 2:
            raise InputError(f'{len(order)} training images cannot be split: expected at least 2')
        cut = len(order) - min(max(round(arch_fraction * len(order)), 1), len(order) - 1)
        weight += order[:cut]
        arch += order[cut:]
    splits = Subset(dataset, weight), Subset(dataset, arch)
    for split in splits:
        if hasattr(dataset, 'metainfo'):
            split.metainfo = dataset.metainfo  # type: ignore[attr-defined]
    return splits
