"""Time the loading of samples from a dataset's files and from its training cache.

For each split and pipeline that the cache serves: the milliseconds an image until augmentation
begins, and how many times faster the cache is, for the whole sample and for the labels alone (all
but reading the image file). Times are those of the processor, which other programs disturb least;
each image is read several times and its fastest counts. Example:

    python tools/analysis_tools/benchmark_data.py data/PASCAL_MT --number 30
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
from mmengine.dataset import Compose

from mmbmtas.datasets.cache import default_cache, find_variant
from mmbmtas.datasets.cache_writer import RECIPES
from mmbmtas.datasets.checking import find_dataset_type
from mmbmtas.datasets.files import read_image
from mmbmtas.datasets.transforms import ResizeSample
from mmbmtas.engine.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Time a dataset with and without its cache.')
    parser.add_argument('data_root', help='folder PASCAL_MT or NYUD_MT')
    parser.add_argument('--cache', help='its cache; default DATA_ROOT.cache')
    parser.add_argument('--number', type=int, default=30, help='images, %(default)s by default')
    parser.add_argument('--repeats', type=int, default=5, help='of each, %(default)s by default')
    return parser.parse_args()


def fastest(load: Callable[[dict], Any], samples: list[dict], repeats: int) -> float:
    """Processor milliseconds a sample, of the fastest of several runs on each."""
    total = 0.0
    for sample in samples:
        seconds = []
        for _ in range(repeats):
            start = time.process_time()
            load(dict(sample))
            seconds.append(time.process_time() - start)
        total += min(seconds)
    return 1e3 * total / len(samples)


def main() -> None:
    """Print a line a pipeline."""
    args = parse_args()
    cv2.setNumThreads(0)  # as in a data loader's workers
    dataset_type = find_dataset_type(args.data_root)
    recipe = RECIPES[dataset_type]
    cache = Path(args.cache) if args.cache else default_cache(args.data_root)
    print('processor milliseconds an image; labels: all but reading the image file')
    print(f'{"split/steps":14}{"image":>8}{"files":>8}{"cache":>8}{"ratio":>8}{"of labels":>11}')
    for split, variants in recipe.splits.items():
        dataset = dataset_type(args.data_root, split, serialize_data=False, cache=None)
        samples = [dataset.get_data_info(i) for i in range(min(args.number, len(dataset)))]
        image = fastest(lambda sample: read_image(sample['img_path']), samples, args.repeats)
        for name in variants:
            steps = [*recipe.loaders, *recipe.variants[name]]
            cached = find_variant(cache, steps)
            if cached is None:
                raise ValueError(f'{cache} has no samples for {recipe.steps(name)}')
            files_ms = fastest(Compose(steps), samples, args.repeats)
            cache_ms = fastest(cached, samples, args.repeats)
            # An image of reduced size comes from the cache along with the labels.
            resized = any(isinstance(step, ResizeSample) for step in steps)
            of_labels = (files_ms - image) / (cache_ms - (0 if resized else image))
            print(
                f'{split + "/" + name:14}{image:8.2f}{files_ms:8.2f}{cache_ms:8.2f}'
                f'{files_ms / cache_ms:8.1f}{of_labels:11.1f}'
            )


if __name__ == '__main__':
    with one_line_errors():
        main()
