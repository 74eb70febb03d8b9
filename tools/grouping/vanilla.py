"""Write the tree that shares only its first layers and costs about as much as another tree.

Example:
    python tools/grouping/vanilla.py configs/branched_scenes.py --reference searched.json
"""

import argparse

from mmbmtas.grouping import vanilla_tree
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.tree_config import add_tree_arguments, config_of, write_trees


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_tree_arguments(parser)
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument(
        '--reference', metavar='ARCHITECTURE.json', help='the tree whose cost to match'
    )
    budget.add_argument(
        '--budget', type=float, metavar='MADDS', help='multiply-adds of the whole network'
    )
    return parser.parse_args()


def main() -> None:
    """Choose the layer and write."""
    args = parse_args()
    config = config_of(args)
    budget = args.budget
    if args.reference is not None:
        budget = config.madds_of(args.reference)
    tree = vanilla_tree(
        len(config.tasks), config.cost.layer_madds, budget, fixed_madds=config.fixed_madds
    )
    source = {'method': 'vanilla', 'budget': budget}
    write_trees([config.architecture(tree, source)], args.out)


if __name__ == '__main__':
    with one_line_errors():
        main()
