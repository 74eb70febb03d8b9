"""Time the parts of edge scoring against what they replace, as ratios within one run.

    OMP_NUM_THREADS=1 python benchmarks/benchmark_edges.py [--size 321 481] [--images 3]

The images are made up: warped cells, their blurred boundaries of varying strength, and noise.
Every comparison also checks that both sides give the same result.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from skimage import morphology

from mmbmtas.evaluation.edges import (
    THRESHOLDS,
    EdgeProtocol,
    count_matches,
    evaluation_truth,
    suppress_non_maxima,
    thin,
)
from mmbmtas.evaluation.edges.matching import GrowingMatching, matching_size, pairs_within

MAX_DIST = 0.0075


def make_scene(seed: int, size: tuple[int, int]) -> tuple[NDArray, NDArray[np.uint8]]:
    """A label map ``(H, W)`` and an 8-bit prediction of its boundaries."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(size=(60, 2)) * size
    warp = 60 * gaussian_filter(rng.normal(size=(2, *size)), (0, 6, 6))
    labels = cKDTree(centres).query(np.moveaxis(np.indices(size) + warp, 0, -1))[1]
    soft = gaussian_filter(evaluation_truth(labels).astype(float), 1.5)
    strength = stretch(gaussian_filter(rng.normal(size=size), 20))
    noise = stretch(gaussian_filter(rng.normal(size=size), 2))
    edges = stretch(soft) * (0.3 + 0.7 * strength) + 0.6 * np.maximum(noise - 0.35, 0)
    return labels, (255 * edges.clip(0, 1)).astype(np.uint8)


def stretch(field: NDArray) -> NDArray:
    """Moves a field's values to 0..1."""
    return (field - field.min()) / np.ptp(field)


class Clock:
    """Adds up seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        """Runs ``work`` and adds its time to ``name``."""
        start = time.perf_counter()
        result = work()
        self.seconds[name] += time.perf_counter() - start
        return result


def time_image(labels: NDArray, prediction: NDArray[np.uint8], nms: bool, clock: Clock) -> None:
    """Times every part on one image."""
    truth = evaluation_truth(labels)
    edges = prediction / 255
    if nms:
        edges = clock('suppression', lambda: suppress_non_maxima(prediction / 255))
    masks = edges > np.asarray(THRESHOLDS)[:, None, None]
    maps = clock('thinning', lambda: thin(masks))
    reference = clock(
        'thinning, skimage', lambda: np.stack([morphology.thin(mask) for mask in masks])
    )
    assert (maps == reference).all()
    candidates = maps.any(axis=0)
    tolerance = MAX_DIST * float(np.hypot(*labels.shape))
    pairs = clock('listing pairs', lambda: pairs_within(candidates, truth, tolerance))
    chosen = maps[:, candidates][::-1]

    def grow() -> list[int]:
        matching = GrowingMatching(pairs)
        return [matching.update(present) for present in chosen]

    growing = clock('matching, growing', grow)
    anew = clock('matching, anew', lambda: [matching_size(pairs[row]) for row in chosen])
    assert growing == anew
    clock('whole image', lambda: count_matches(prediction, [truth], EdgeProtocol(MAX_DIST, nms)))


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=int, nargs=2, default=(321, 481), metavar=('H', 'W'))
    parser.add_argument('--images', type=int, default=3)
    args = parser.parse_args()
    for nms in (True, False):
        clock = Clock()
        for seed in range(args.images):
            time_image(*make_scene(seed, tuple(args.size)), nms, clock)
        seconds = clock.seconds
        print(f'{"with" if nms else "without"} suppression, seconds an image')
        for name, total in seconds.items():
            print(f'  {name:20}{total / args.images:8.3f}')
        for part, old, new in (
            ('thinning', 'thinning, skimage', 'thinning'),
            ('matching', 'matching, anew', 'matching, growing'),
        ):
            print(f'  {part}: {old!r} takes {seconds[old] / seconds[new]:.1f} x {new!r}')


if __name__ == '__main__':
    main()
