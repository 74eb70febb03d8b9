"""Choose paths for a search's domains without a search: one for all, or random ones.

Example:
    python tools/grouping/paths.py configs/mpnas/search_pocket.py --kind random -o paths.json
"""

import argparse

from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.overrides import add_cfg_options
from mmbmtas.launch.path_config import read_path_config
from mmbmtas.writing import file_place


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of a search of paths')
    parser.add_argument(
        '--kind',
        choices=('middle', 'largest', 'random'),
        required=True,
        help='middle, largest: the same path for all, of candidates of middle or greatest cost; '
        'random: for each domain a path drawn uniformly',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of random paths (default: 0)')
    parser.add_argument(
        '-o', '--out', type=file_place, required=True, metavar='FILE', help='file to write'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Choose and write."""
    args = parse_args()
    config = read_path_config(args.config, args.cfg_options)
    paths = config.random(args.seed) if args.kind == 'random' else config.single(args.kind)
    paths.save(args.out)
    print(f'{args.out}: {paths.describe()}')


if __name__ == '__main__':
    with one_line_errors():
        main()
