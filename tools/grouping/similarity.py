r"""Choose trees for other budgets from the similarities that a search has measured.

A search by similarity (configs/similarity_*.py) leaves similarity.json. This tool reads it and
chooses the best of all trees for each budget or weight, in seconds and without training.

Example:
    python tools/grouping/similarity.py configs/branched_scenes.py \
        work_dirs/similarity_scenes/similarity.json --budget 6e7 8e7 1e8 -o tree.json
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.grouping import most_similar_tree
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.tree_config import (
    TreeConfig,
    add_tree_arguments,
    config_of,
    tree_places,
    write_trees,
)
from mmbmtas.structures.documents import read_document
from mmbmtas.structures.values import require_positive


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_tree_arguments(parser)
    parser.add_argument('similarities', help='similarity.json of a search by similarity')
    wish = parser.add_mutually_exclusive_group(required=True)
    wish.add_argument(
        '--budget',
        type=float,
        nargs='+',
        metavar='MADDS',
        help='multiply-adds of the whole network; one tree for each value',
    )
    wish.add_argument(
        '--weight',
        type=float,
        nargs='+',
        help='without a budget: weight of the cost, as resource_loss.weight of the search; with 1, '
        'sharing all and sharing nothing are equally good; one tree each',
    )
    return parser.parse_args()


def read_similarities(path: str | Path, config: TreeConfig) -> NDArray[np.float64]:
    """Read the similarities ``(L, T, T)``, tasks in the order of the config.

    Raises:
        InputError: The file is of another form, or of other tasks or layers than the config.
    """
    document: Any = read_document(path)
    keys = {'tasks', 'layers', 'similarities'}
    if not isinstance(document, dict) or set(document) != keys:
        raise InputError(f'{path} is not the similarity.json of a search: expected {sorted(keys)}')
    for key, expected in (
        ('tasks', sorted(config.tasks)),
        ('layers', [*config.encoder.layer_names]),
    ):
        found = document[key]
        if not isinstance(found, list) or (sorted(found) if key == 'tasks' else found) != expected:
            raise InputError(f'{path} is for the {key} {found}, the config for {expected}')
    try:
        values = np.asarray(document['similarities'], np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f'{path}: similarities are not numbers: {error}') from error
    shape = (len(config.encoder.layer_names), len(config.tasks), len(config.tasks))
    if values.shape != shape:
        raise InputError(f'{path}: similarities have the shape {values.shape}, expected {shape}')
    order = [document['tasks'].index(task) for task in config.tasks]
    return values[:, order][:, :, order]


def main() -> None:
    """Choose and write."""
    args = parse_args()
    wishes = [{'cap': require_positive('--budget', value)} for value in args.budget or ()]
    wishes += [{'weight': value} for value in args.weight or ()]
    tree_places(args.out, len(wishes))
    config = config_of(args)
    similarities = read_similarities(args.similarities, config)
    source = {'method': 'similarity', 'similarities': Path(args.similarities).name}
    write_trees(
        [
            config.architecture(
                most_similar_tree(
                    similarities, config.cost.layer_madds, config.fixed_madds, **wish
                ),
                {**source, **wish},
            )
            for wish in wishes
        ],
        args.out,
    )


if __name__ == '__main__':
    with one_line_errors():
        main()
