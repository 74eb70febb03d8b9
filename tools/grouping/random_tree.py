"""Draw trees uniformly among all those whose multiply-adds lie close to a budget.

Example:
    python tools/grouping/random_tree.py configs/branched_pascal.py --budget 9.1e9 --number 5
"""

import argparse

from mmbmtas.grouping import random_trees
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.tree_config import add_tree_arguments, config_of, tree_places, write_trees


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_tree_arguments(parser)
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument(
        '--budget', type=float, metavar='MADDS', help='multiply-adds of the whole network'
    )
    budget.add_argument(
        '--reference', metavar='ARCHITECTURE.json', help='a tree whose cost is the budget'
    )
    parser.add_argument(
        '--tolerance', type=float, default=0.02, help='share of the budget (default: 0.02)'
    )
    parser.add_argument('--number', type=int, default=1, help='number of different trees')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Draw and write."""
    args = parse_args()
    tree_places(args.out, args.number)
    config = config_of(args)
    if args.reference is not None:
        args.budget = config.madds_of(args.reference)
    options = {key: getattr(args, key) for key in ('budget', 'tolerance', 'number', 'seed')}
    trees = random_trees(
        len(config.tasks), config.cost.layer_madds, fixed_madds=config.fixed_madds, **options
    )
    write_trees(
        [
            config.architecture(tree, {'method': 'random', **options, 'index': index})
            for index, tree in enumerate(trees)
        ],
        args.out,
    )


if __name__ == '__main__':
    with one_line_errors():
        main()
