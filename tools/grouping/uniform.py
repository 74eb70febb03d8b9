"""Write the tree that shares all encoder layers, shares none, or has only one task.

Example:
    python tools/grouping/uniform.py configs/branched_scenes.py --kind shared -o shared.json
"""

import argparse

from mmbmtas.errors import InputError
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.tree_config import add_tree_arguments, config_of, write_trees
from mmbmtas.structures import TaskGrouping


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_tree_arguments(parser)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument('--kind', choices=['shared', 'all_apart'], help='what all tasks share')
    choice.add_argument('--task', help='the one task of a single-task network')
    return parser.parse_args()


def main() -> None:
    """Write the tree."""
    args = parse_args()
    config = config_of(args)
    if args.task is not None and args.task not in config.tasks:
        raise InputError(f'no task {args.task!r} in {args.config}, only {[*config.tasks]}')
    count = 1 if args.task else len(config.tasks)
    all_apart = args.kind == 'all_apart'
    grouping = TaskGrouping.all_apart(count) if all_apart else TaskGrouping.shared(count)
    tree = (grouping,) * config.encoder.num_layers
    source = {'method': args.kind or 'single'}
    write_trees([config.architecture(tree, source, args.task)], args.out)


if __name__ == '__main__':
    with one_line_errors():
        main()
