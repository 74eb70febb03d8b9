"""Time the inference of several networks in turn, in one process, in milliseconds per image.

LIST.json maps names to networks: each a list of objects with `config`, `options` and `architecture`
(a file or null), which run one after another, as single-task networks do. Weights and images do
not affect the time, so both are random. tools/compare.py uses it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from mmbmtas.comparison.networks import build_networks, measure_latencies
from mmbmtas.cost.timing import latency_place
from mmbmtas.errors import InputError
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.writing import file_place, write_json


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('list', type=Path, metavar='LIST.json', help='the networks by name')
    parser.add_argument('-o', '--out', type=file_place, required=True, metavar='FILE.json')
    parser.add_argument('--warmup', type=int, default=5, help='rounds before the clock starts')
    parser.add_argument('--repeats', type=int, default=30, help='rounds that are timed')
    return parser.parse_args()


def main() -> None:
    """Build, time and write."""
    args = parse_args()
    if args.repeats < 1 or args.warmup < 0:
        raise InputError('--repeats must be at least 1, --warmup 0')
    try:
        listed: dict[str, list[dict[str, Any]]] = json.loads(args.list.read_text())
    except ValueError as error:
        raise InputError(f'{args.list}: expected JSON, found: {error}') from error
    groups: dict[str, list[Any]] = build_networks(listed)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    height, width = next(iter(groups.values()))[0].cost_shape
    milliseconds = measure_latencies(groups, (height, width), device, args.warmup, args.repeats)
    place = latency_place(device)
    write_json({'place': place, 'shape': [height, width], 'milliseconds': milliseconds}, args.out)
    print(f'{place}, 1 x 3 x {height} x {width}, median of {args.repeats}:')
    for name, value in milliseconds.items():
        print(f'{name:32}{value:10.2f} ms')


if __name__ == '__main__':
    with one_line_errors():
        main()
