"""Time the inference of a config's network on this machine, for all its tasks together.

Weights and images do not matter to the time, so both are random. One time is that of the forward
pass up to each task's map at the input's size; loading and writing images is not part of it.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from mmengine.registry import init_default_scope

from mmbmtas.engine import launch
from mmbmtas.engine.errors import one_line_errors
from mmbmtas.registry import MODELS


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    launch.add_common_arguments(parser)
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help="size of the input (default: the model's cost_shape, where costs are stated)",
    )
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--warmup', type=int, default=5, help='passes before the clock starts')
    parser.add_argument('--repeats', type=int, default=50, help='passes that are timed')
    parser.add_argument('--out', metavar='FILE.json', help='write the numbers here too')
    return parser.parse_args()


def time_passes(
    run: Callable[[], object], device: torch.device, warmup: int, repeats: int
) -> list[float]:
    """Return the seconds of each of ``repeats`` calls, waiting for the device after each."""
    seconds = []
    for _ in range(warmup + repeats):
        start = time.perf_counter()
        run()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return seconds[warmup:]


def summarise(seconds: list[float], batch_size: int) -> dict[str, float]:
    """Give median and quartiles in milliseconds a batch, and images a second at the median."""
    low, median, high = statistics.quantiles(seconds, n=4)
    return {
        'latency/median_ms': 1e3 * median,
        'latency/lower_quartile_ms': 1e3 * low,
        'latency/upper_quartile_ms': 1e3 * high,
        'images_per_second': batch_size / median,
    }


def build(args: argparse.Namespace) -> tuple[Any, tuple[int, int]]:
    """Build the network that the command line names; tell its input's size too."""
    cfg = launch.load_config(args)
    cfg.pretrained = None
    launch.prepare_config(cfg)
    init_default_scope(cfg.get('default_scope', 'mmbmtas'))
    model = MODELS.build(cfg.model).eval()
    height, width = args.shape or model.cost_shape
    return model, (height, width)


def main() -> None:
    """Time as the command line says."""
    args = parse_args()
    if args.repeats < 2 or args.batch_size < 1 or args.warmup < 0:
        raise ValueError('--repeats must be at least 2, --batch-size 1 and --warmup 0')
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    model, shape = build(args)
    model.to(device)
    inputs = torch.rand(args.batch_size, 3, *shape, device=device)
    with torch.inference_mode():
        seconds = time_passes(
            lambda: model.encode_decode(inputs), device, args.warmup, args.repeats
        )
    numbers = summarise(seconds, args.batch_size)
    where = torch.cuda.get_device_name(device) if device.type == 'cuda' else 'CPU'
    print(f'{where}, {torch.get_num_threads()} threads, {args.batch_size} x 3 x {shape}:')
    for name, value in numbers.items():
        print(f'{name:28}{value:10.2f}')
    if args.out:
        launch.write_metrics(numbers, args.out)


if __name__ == '__main__':
    with one_line_errors():
        main()
