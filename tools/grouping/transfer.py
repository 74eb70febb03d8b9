"""Give a tree another encoder of the same layers, such as one with another context module.

Example:
    python tools/grouping/transfer.py configs/branched_scenes_dpc.py searched.json -o other.json
"""

import argparse

from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.tree_config import add_tree_arguments, config_of, write_trees


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_tree_arguments(parser)
    parser.add_argument('architecture', help='architecture.json of the tree')
    return parser.parse_args()


def main() -> None:
    """Write the tree for the config's encoder."""
    args = parse_args()
    write_trees([config_of(args).transferred(args.architecture)], args.out)


if __name__ == '__main__':
    with one_line_errors():
        main()
