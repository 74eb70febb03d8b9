"""Exchange the tasks at the leaves of a tree at random, several times.

Example:
    python tools/grouping/permute.py searched.json -o permuted.json --number 5
"""

import argparse
from dataclasses import replace
from pathlib import Path

from mmbmtas.grouping import permuted_trees
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.tree_config import tree_places, write_trees
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.writing import file_place


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('architecture', help='architecture.json of the tree')
    parser.add_argument(
        '-o',
        '--out',
        type=file_place,
        required=True,
        metavar='FILE.json',
        help='file to write; several trees become FILE_1.json, FILE_2.json, ...',
    )
    parser.add_argument('--number', type=int, default=5, help='number of trees (default: 5)')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Permute and write; what the tree costs stays the same."""
    args = parse_args()
    tree_places(args.out, args.number)
    original = BranchedArchitecture.load(args.architecture)
    permuted = []
    for index, tree in enumerate(permuted_trees(original.groupings, args.number, args.seed)):
        found = BranchedArchitecture.from_groupings(original.tasks, original.encoder, tree)
        source = {
            'method': 'permuted',
            'architecture': Path(args.architecture).name,
            'seed': args.seed,
            'index': index,
        }
        permuted.append(replace(found, layers=original.layers, madds=original.madds, source=source))
    write_trees(permuted, args.out)


if __name__ == '__main__':
    with one_line_errors():
        main()
