"""The training loop of a network, which resumes bit for bit."""

from collections.abc import Iterator
from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import IterBasedTrainLoop as _IterBasedTrainLoop
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmbmtas.engine.failures import divergence_located, worker_death_explained
from mmbmtas.engine.randomness import Stream, seed_all
from mmbmtas.engine.unlabelled import require_labels
from mmbmtas.errors import InputError
from mmbmtas.registry import LOOPS
from mmbmtas.structures.values import filled_in_from

from .train_loader import batches, build_train_loader, is_endless


@LOOPS.register_module()
class IterBasedTrainLoop(_IterBasedTrainLoop):
    """mmengine's loop; a resumed run trains on what the uninterrupted one would have, bit for bit.

    What an iteration or a sample draws at random depends on the seed and its place in the training
    alone. Batches that were trained on before the interruption are not loaded again.

    Args:
        runner: The runner.
        dataloader: Config of the loader.
        max_iters: Iterations.
        kwargs: What else mmengine's loop takes.

    Raises:
        InputError: The training set has fewer images than a batch, or no label of a task.
        DivergenceError: The training has diverged; the message says where.
        WorkerError: A worker of the loader has died.
    """

    @filled_in_from('max_iters', 'train_cfg.max_iters')
    def __init__(self, runner: Runner, dataloader: Any, max_iters: int, **kwargs: Any) -> None:
        loader = build_train_loader(runner, dataloader)
        count = len(loader.dataset)  # type: ignore[arg-type]
        batch = (loader.batch_size or 1) * get_world_size()
        if count < batch and is_endless(loader):
            raise InputError(
                f'the training set has {count} images, fewer than the {batch} of a batch: expected '
                'a smaller total_batch_size, or more images'
            )
        if len(loader) == 0:
            raise InputError(
                f'the training set of {count} images has no whole batch of {batch}: expected a '
                'smaller total_batch_size, or drop_last=False in train_dataloader'
            )
        # mmengine's loop would begin to load at once, before it is known where to begin.
        super().__init__(runner, DataLoader(loader.dataset), max_iters, **kwargs)
        self.dataloader = loader

    def run(self) -> nn.Module:
        """Train, from the iteration that the runner was resumed at."""
        self.dataloader_iterator = _NothingToSkip()
        self._data_batches = require_labels(
            self._batches(), self.runner.model, self.dataloader.dataset, self.runner.seed
        )
        with worker_death_explained('train_dataloader', self.where):
            return super().run()

    def _batches(self) -> Iterator[Any]:
        """Yield the batch of each iteration from the current one on."""
        if is_endless(self.dataloader):
            epoch, start = 0, self._iter
        else:
            epoch, start = divmod(self._iter, len(self.dataloader))
        while True:
            yield from batches(self.dataloader, epoch, start)
            epoch, start = epoch + 1, 0

    def run_iter(self, data_batch: None) -> None:
        """Train on the next batch; what mmengine's loop gives is a placeholder."""
        batch = next(self._data_batches)
        seed_all(self.runner.seed, Stream.ITERATION, self._iter)
        with divergence_located(self, batch):
            super().run_iter(batch)

    def where(self) -> str:
        """Say at which iteration the training is."""
        return f'iteration {self._iter + 1} of {self._max_iters}'


class _NothingToSkip:
    """Stands for the iterator from which mmengine's loop skips the batches before a resumption.

    Releases differ in how they skip: by drawing batches, by ``skip_iter``, or on request not at
    all. Our loop draws its batches itself and begins where the training does.
    """

    def __iter__(self) -> '_NothingToSkip':
        return self

    def __next__(self) -> None:
        return None

    def skip_iter(self, num_iters: int) -> None:
        """Skip nothing."""
