"""The loading of a config's samples: from its cache beside its files, and by its whole loader.

Times of single samples are those of the processor, in one thread, until augmentation begins and
for the whole pipeline; each is read several times and its fastest counts. The loader is timed by
the clock on the wall, with its workers started.
"""

import itertools
import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmbmtas import launch
from mmbmtas.datasets.base import MultiTaskDataset
from mmbmtas.datasets.cache.steps import LoadCachedSample
from mmbmtas.engine.failures import worker_death_explained
from mmbmtas.errors import InputError
from mmbmtas.launch.shared_keys import plain_datasets
from mmbmtas.reading import read_image
from mmbmtas.registry import DATASETS, SCOPE

from . import timing


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this part."""
    timing.add_config_arguments(parser)
    parser.add_argument(
        '--split', choices=['train', 'val'], default='train', help='whose loader and data set'
    )
    parser.add_argument('--number', type=int, default=30, help='images, %(default)s by default')
    parser.add_argument('--repeats', type=int, default=5, help='of each, %(default)s by default')
    parser.add_argument('--batches', type=int, default=10, help='of the loader; 0 leaves it out')
    parser.add_argument('--workers', type=int, help="of the loader (default: the config's)")


def run(args: Namespace) -> dict[str, Any]:
    """Measure.

    Raises:
        ValueError: A number is out of range, or the data set is none of a single folder.
    """
    if args.number < 1 or args.repeats < 1 or args.batches < 0 or args.batches == 1:
        raise InputError('--number and --repeats must be at least 1, --batches 2, or 0')
    cfg = launch.read_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', SCOPE))
    loader = cfg[f'{args.split}_dataloader']
    if args.workers is not None:
        loader.num_workers = args.workers
        if not args.workers:
            loader.persistent_workers = False
    (entry, *more) = plain_datasets(loader.dataset)
    if more:
        raise InputError(f'{args.config} joins {len(more) + 1} data sets: name that of one')
    cv2.setNumThreads(0)  # as in a data loader's workers
    result: dict[str, Any] = {
        **timing.machine(torch.device('cpu')),
        'data_root': entry.data_root,
        'split': args.split,
        **time_samples(entry, args.number, args.repeats),
    }
    if args.batches:
        with worker_death_explained(f'{args.split}_dataloader'):
            result['loader'] = time_loader(cfg, args)
    return result


def time_samples(entry: Mapping[str, Any], number: int, repeats: int) -> dict[str, Any]:
    """Time single samples: as the config reads them (ours), and from the files (plain)."""
    ours, plain = (
        DATASETS.build({**entry, 'lazy_init': False, 'serialize_data': False, **options})
        for options in ({}, {'cache': None})
    )
    assert isinstance(ours, MultiTaskDataset)
    assert isinstance(plain, MultiTaskDataset)
    samples = [plain.get_data_info(i) for i in range(min(number, len(plain)))]
    cached = next(iter(ours.pipeline.transforms), None)
    steps = len(cached.steps) if isinstance(cached, LoadCachedSample) else 0
    loads: dict[str, dict[str, Callable[[dict], Any]]] = {'whole': {'plain': plain.pipeline}}
    loads['image'] = {'plain': lambda sample: read_image(sample['img_path'])}
    if steps:
        loads['whole']['ours'] = ours.pipeline
        before = Compose(plain.pipeline.transforms[:steps])
        loads['until_augmentation'] = {'plain': before, 'ours': cached}  # type: ignore[dict-item]
    times = {name: fastest(group, samples, repeats) for name, group in loads.items()}
    ratios = {
        name: group['plain'] / group['ours'] for name, group in times.items() if 'ours' in group
    }
    return {'images': len(samples), 'seconds': times, 'ratio': ratios}


def fastest(
    loads: Mapping[str, Callable[[dict], Any]], samples: list[dict], repeats: int
) -> dict[str, float]:
    """Return processor seconds a sample, of the fastest of several runs on each, in turn."""
    totals = dict.fromkeys(loads, 0.0)
    for sample in samples:
        seconds: dict[str, list[float]] = {name: [] for name in loads}
        for _, (name, load) in itertools.product(range(repeats), loads.items()):
            start = time.process_time()
            load(dict(sample))
            seconds[name].append(time.process_time() - start)
        for name in loads:
            totals[name] += min(seconds[name])
    return {name: total / len(samples) for name, total in totals.items()}


def time_loader(cfg: Config, args: Namespace) -> dict[str, Any]:
    """Time the whole loader: by the wall once its workers have begun, and its processes' work.

    The processor's seconds tell what more workers would give: each adds images at its own rate,
    until the main process, which takes the batches in, has no time left.
    """
    sampler = dict(
        type='DefaultSampler', shuffle=True
    )  # comes to an end: all that is loaded counts
    loader: Any = Runner.build_dataloader(
        {**cfg[f'{args.split}_dataloader'], 'sampler': sampler}, seed=0
    )
    workers, epochs = loader.num_workers, -(-args.batches // len(loader))
    before = os.times()
    batches = itertools.chain.from_iterable(itertools.repeat(loader, epochs))
    total = len(next(batches)['inputs'])
    start, busy = time.perf_counter(), time.process_time()
    counts = [len(batch['inputs']) for batch in itertools.islice(batches, args.batches - 1)]
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    total += sum(counts) + sum(len(batch['inputs']) for batch in batches)
    del batches, loader  # the workers end, and their times are known
    after = os.times()
    children = sum(after[2:4]) - sum(before[2:4])
    images = sum(counts)
    result = {
        'workers': workers,
        'images_per_second': images / seconds,
        'processor_seconds': {'main': busy / images},
    }
    if workers:
        result['processor_seconds']['workers'] = children / total
    return result


def format_table(result: dict[str, Any]) -> str:
    """Lay the result out for people."""
    lines = [
        timing.describe_machine(result),
        f'{result["data_root"]}, {result["split"]}, {result["images"]} images; '
        'processor milliseconds an image',
        f'{"":20}{"files":>10}{"cache":>10}{"ratio":>8}',
    ]
    for name, seconds in result['seconds'].items():
        line = f'{name.replace("_", " "):20}{1e3 * seconds["plain"]:10.2f}'
        if 'ours' in seconds:
            line += f'{1e3 * seconds["ours"]:10.2f}{result["ratio"][name]:8.1f}'
        lines.append(line)
    if 'loader' in result:
        loader = result['loader']
        lines.append(
            f'Loader with {loader["workers"]} workers: {loader["images_per_second"]:.1f} images/s; '
            'processor milliseconds an image: '
            + ', '.join(f'{name} {1e3 * s:.2f}' for name, s in loader['processor_seconds'].items())
        )
    return '\n'.join(lines)
