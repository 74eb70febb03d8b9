"""From the config of a training to its runner, with a made-up data set and no hook that writes."""

import itertools
import logging
import math
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmengine.structures import PixelData
from torch.nn import functional as F
from torch.utils.data import Dataset

from mmbmtas import launch
from mmbmtas.cost.timing import wait_for
from mmbmtas.engine.failures import worker_death_explained
from mmbmtas.engine.hooks import SearchBatchNormHook
from mmbmtas.errors import InputError
from mmbmtas.launch.shared_keys import plain_datasets
from mmbmtas.registry import DATASETS, HOOKS, SCOPE, is_type
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.structures.data_sample import MultiTaskDataSample

Change = Callable[[Config], None]

_DEFAULT_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)


def add_training_arguments(parser: ArgumentParser) -> None:
    """Add the options of everything that trains."""
    launch.add_common_arguments(parser)
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help="size of the images (default: the config's crop_size)",
    )
    parser.add_argument(
        '--batch-size', type=int, help="images a batch (default: the config's total_batch_size)"
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')


def add_loader_arguments(parser: ArgumentParser) -> None:
    """Add the options of what also reads the config's own images."""
    parser.add_argument(
        '--loader-iters',
        type=int,
        default=10,
        help="iterations with the config's own loader (of each phase, in a search), which tell the "
        'share of time spent waiting for data; without --shape, and where the data is there',
    )


def check_training_arguments(args: Namespace) -> None:
    """Refuse sizes of no image, and numbers of nothing.

    Raises:
        ValueError: One is below 1.
    """
    for name in ('batch_size', 'shape', 'loader_iters'):
        given = getattr(args, name, None)
        if given is not None and min(given if isinstance(given, list) else [given]) < 1:
            raise InputError(f'--{name.replace("_", "-")} {given}: expected 1 or more')


@DATASETS.register_module()
class MadeUpImages(Dataset):
    """Noise of one size with labels of all tasks, which are made once.

    Args:
        heads: ``decode_heads`` of a config, which say what each task's label looks like.
        shape: Height and width of the images.
        count: Number of images that are made.
        length: Number of images, which repeat them.
    """

    def __init__(
        self, heads: dict[str, Any], shape: tuple[int, int], count: int, length: int
    ) -> None:
        self.metainfo: dict[str, Any] = {'classes': {}}
        self._length = length
        self._samples = [_make_up(heads, shape, seed) for seed in range(count)]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._samples[index % len(self._samples)]


def _make_up(heads: dict[str, Any], shape: tuple[int, int], seed: int) -> dict[str, Any]:
    """Make a sample as ``PackMultiTaskInputs`` does."""
    random = torch.Generator().manual_seed(seed)
    sample = MultiTaskDataSample(metainfo={'img_shape': shape, 'ori_shape': shape})
    for task, head in heads.items():
        output = head.get('output', 'classes')
        if output in ('classes', 'probability'):
            classes = max(2, head['num_classes'])
            label = torch.randint(classes, (1, *shape), generator=random)
        else:
            label = torch.rand(head['num_classes'], *shape, generator=random) + 0.5
            label = F.normalize(label, dim=0) if output == 'normals' else label
        sample.set_data({head.get('target_key', f'gt_{task}'): PixelData(data=label)})
    image = torch.randint(256, (3, *shape), generator=random, dtype=torch.uint8)
    return {'inputs': image, 'data_samples': sample}


def crop_size(cfg: Config) -> tuple[int, int]:
    """Return the size at which a config trains: that of its pipeline's last step that has one.

    Raises:
        ValueError: No step says.
    """
    for dataset in plain_datasets(cfg.train_dataloader.dataset):
        for step in reversed(dataset.get('pipeline') or []):
            if 'size' in step:
                height, width = step['size']
                return height, width
    raise InputError(f'{cfg.filename} names no size in its training pipeline: give --shape H W')


def build_runner(
    args: Namespace,
    work_dir: str | Path,
    change: Change | None = None,
    tree: BranchedArchitecture | None = None,
    real_data: bool = False,
) -> Runner:
    """Build the runner of a config with its loop and its optimisers, ready to train.

    Args:
        args: What :func:`add_training_arguments` and the command line gave.
        work_dir: A folder that may be filled.
        change: Called with the config, before anything is built of it.
        tree: The tree to train, if the config is of a branched network.
        real_data: Read the config's images, in place of made-up ones.
    """
    cfg = launch.load_config(args)
    launch.leave_out_weights(cfg)  # the time does not depend on them
    if args.batch_size is not None:
        cfg.total_batch_size = args.batch_size
        cfg.train_dataloader.pop('batch_size', None)
    if args.amp:
        launch.use_amp(cfg)
    if tree is not None:
        cfg.architecture = cfg.model.backbone.architecture = str(Path(work_dir) / 'tree.json')
        tree.save(cfg.architecture)
    launch.prepare_config(cfg)
    shape = tuple(args.shape or crop_size(cfg))
    if not real_data:
        cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
        cfg.train_dataloader.dataset = dict(
            type=MadeUpImages.__name__,
            heads=cfg.model.decode_heads,
            shape=shape,
            count=2 * cfg.train_dataloader.batch_size,
            length=_needed_images(cfg),
        )
        cfg.train_dataloader.pop('prefetch_factor', None)
    if change is not None:
        change(cfg)
    # Of the config's own hooks, the one that changes what is computed.
    hooks = [
        hook
        for hook in cfg.get('custom_hooks') or []
        if is_type(HOOKS, hook['type'], SearchBatchNormHook)
    ]
    name = f'benchmark-{Path(work_dir)}'
    MMLogger.get_instance(name, log_level='ERROR').setLevel(logging.ERROR)
    runner = Runner(
        model=cfg.model,
        work_dir=str(work_dir),
        train_dataloader=cfg.train_dataloader,
        train_cfg=cfg.train_cfg,
        optim_wrapper=cfg.optim_wrapper,
        default_hooks=dict.fromkeys(_DEFAULT_HOOKS),
        custom_hooks=hooks,
        env_cfg=cfg.get('env_cfg', {}),
        randomness=cfg.get('randomness', {}),
        default_scope=cfg.get('default_scope', SCOPE),
        log_level='ERROR',
        experiment_name=name,
    )
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    _ = runner.train_loop  # built when first asked for
    runner.model.train()
    return runner


def _needed_images(cfg: Config) -> int:
    """Return how many images give each split of a search, or a training set, a batch."""
    fraction = cfg.train_cfg.get('arch_fraction', 0.5)
    return math.ceil((cfg.train_dataloader.batch_size + 1) / min(fraction, 1 - fraction))


def has_data(args: Namespace) -> bool:
    """Tell whether the config's images are there, and none of another size are asked for."""
    cfg = launch.read_config(args.config, args.cfg_options)
    datasets = [*plain_datasets(cfg.train_dataloader.dataset)]
    return not args.shape and all(Path(entry.get('data_root', '')).is_dir() for entry in datasets)


@worker_death_explained('train_dataloader')
def waiting_share(
    loader: Iterable[Any], step: Callable[[Any], object], device: torch.device, iters: int
) -> float:
    """Return the share of an iteration's time that is spent waiting for the loader.

    It is the time of ``next()`` on the loader over that of whole iterations, what mmengine's log
    calls ``data_time`` and ``time``.

    Args:
        loader: Gives batches; begun anew when it ends.
        step: Trains on a batch.
        device: Where it computes.
        iters: Iterations that are timed, after one that is not, in which workers start.
    """
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    step(next(batches))
    wait_for(device)
    waited, start = 0.0, time.perf_counter()
    for _ in range(iters):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        step(batch)
        wait_for(device)
    return waited / (time.perf_counter() - start)


def scratch() -> tempfile.TemporaryDirectory:
    """Return a folder for what runners write, gone at the end."""
    return tempfile.TemporaryDirectory(prefix='mmbmtas-benchmark-')
