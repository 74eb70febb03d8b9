"""Messages for failing trainings: where they stopped, what broke first, what may help."""

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.structures import PixelData
from torch import Tensor, nn

from mmbmtas.engine.randomness import Stream, seed_all
from mmbmtas.engine.wrapping import unwrapped
from mmbmtas.errors import DivergenceError, WorkerError

_SECONDS_TO_DIE = 2.0
_MARKS_OF_DEATH = r'DataLoader worker \(pid|unable to [^\n]*</?torch_'
"""What torch says of a dead worker, and of one without shared memory for its batch."""


class NonFiniteGradientError(DivergenceError):
    """A gradient is infinite, or not a number."""


@contextmanager
def divergence_located(loop: Any, data_batch: Any) -> Iterator[None]:
    """Add to the error of a diverged training where it stopped and what broke first.

    Args:
        loop: The training loop; its ``where()`` says where it stands.
        data_batch: The batch of this iteration.

    Raises:
        DivergenceError: As from within, with a longer message.
    """
    try:
        yield
    except DivergenceError as error:
        parts = [f'{loop.where()}: {error}']
        if not isinstance(error, NonFiniteGradientError):
            parts.append(_find_origin(loop, data_batch))
        saved = loop.runner.message_hub.runtime_info.get('last_ckpt')
        if saved is not None and Path(saved).exists():
            parts.append(f'{saved} was saved before this')
        raise type(error)('. '.join(parts)) from error


@contextmanager
def worker_death_explained(loader: str, where: Callable[[], str] | None = None) -> Iterator[None]:
    """Say what may have ended a worker of a data loader, which can surface anywhere.

    Args:
        loader: Its key in the config.
        where: Says where a training stands, which can be resumed.

    Raises:
        WorkerError: A worker has died, or found no shared memory; it has torch's message.
    """
    try:
        try:
            yield
        except (EOFError, ConnectionError):
            # A dying process closes its connections before others are told of its death, which
            # interrupts the sleep.
            time.sleep(_SECONDS_TO_DIE)
            raise
    except RuntimeError as error:
        if not re.search(_MARKS_OF_DEATH, str(error)):
            raise
        shared = Path('/dev/shm')
        free = f' ({shutil.disk_usage(shared).free / 1e9:.1f} GB are free)' * shared.is_dir()
        message = (
            f'{told_by_worker(error).strip()} A killed worker has usually run out of memory: use '
            f'fewer {loader}.num_workers or add memory. After a bus error it was shared memory'
            f'{free}: use fewer workers or docker run --shm-size=8g. With {loader}.num_workers=0 '
            'and persistent_workers=False errors show where they arise'
        )
        if where is not None:
            message = f'{where()}: {message}. Continue with --resume'
        raise WorkerError(message) from error


def told_by_worker(error: Exception) -> str:
    """Return an error's message; torch puts a worker's traceback and the type in front of it."""
    message = str(error)
    if 'Traceback (most recent call last)' not in message:
        return message
    return re.split(rf'\n[\w.]*{type(error).__name__}: ', message)[-1]


@torch.no_grad()
def _find_origin(loop: Any, data_batch: Any) -> str:
    """Find the first thing that is not finite on the way to a loss that is not."""
    model = unwrapped(loop.runner.model)
    broken = _broken_weights(model)
    if broken:
        return f'Weights have not been finite since an earlier step: {listed(broken)}'
    samples = data_batch.get('data_samples', []) if isinstance(data_batch, dict) else []
    broken = [*_broken_labels(samples)]
    if broken:
        return f'Labels are not finite: {listed(broken)}'
    if get_world_size() > 1:  # other ranks do not take part in another forward pass
        return 'Weights and labels are finite'
    # With the noise of this iteration, lest it be another's that is looked at.
    seed_all(loop.runner.seed, Stream.ITERATION, loop.iter)
    name = _first_broken_output(model, data_batch)
    if name is None:
        return (
            'Weights, labels and the outputs of all modules are finite: the loss itself '
            'overflows, or only mixed precision does'
        )
    return f'The first output that is not finite is that of {name}'


def _broken_weights(model: nn.Module) -> list[str]:
    """List parameters that are not finite."""
    return [name for name, value in model.named_parameters() if not value.isfinite().all()]


def _broken_labels(samples: Sequence[Any]) -> Iterator[str]:
    """Yield the labels that are not finite, and their images."""
    for sample in samples:
        for name, value in sample.items():
            if isinstance(value, PixelData) and not torch.as_tensor(value.data).isfinite().all():
                yield f'{name} of {sample.metainfo.get("img_path", "an image")}'


def _first_broken_output(model: Any, data_batch: Any) -> str | None:
    """Name the first module whose output is not finite, of those without modules inside."""
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not output.isfinite().all():
                found.append(name)

        return hook

    leaves = [(name, module) for name, module in model.named_modules() if not [*module.children()]]
    handles = [module.register_forward_hook(look(name)) for name, module in leaves]
    try:
        model(model.data_preprocessor(data_batch, True)['inputs'], mode='tensor')
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def listed(names: Sequence[str], shown: int = 3) -> str:
    """Join the first names, and tell how many more there are."""
    more = len(names) - shown
    return ', '.join(names[:shown]) + (f' and {more} more' if more > 0 else '')
