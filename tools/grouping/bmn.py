"""Group tasks as BMN does: by how similarly single-task networks distinguish images.

Chooses, of all trees below a cap on multiply-adds, the one that groups the most similar tasks. Also
writes the affinities of tasks in every layer: rsa.npy (layers, tasks, tasks) and rsa.png.

Example:
    python tools/grouping/bmn.py configs/branched_scenes.py --cap 6e7 8e7 \
        --checkpoints semseg=semseg.pth edge=edge.pth normals=normals.pth
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from mmengine.device import get_device
from numpy.typing import NDArray

from mmbmtas.comparison.affinity import image_loader, load_single_network, measure_dissimilarities
from mmbmtas.comparison.affinity.images import add_image_arguments
from mmbmtas.errors import InputError
from mmbmtas.grouping import grouping_costs, least_cost_tree, rsa_affinity
from mmbmtas.grouping.bmn import MIN_IMAGES
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.tree_config import (
    TreeConfig,
    add_tree_arguments,
    config_of,
    tree_places,
    write_trees,
)
from mmbmtas.registry import MODELS
from mmbmtas.visualization.affinity import plot_affinities
from mmbmtas.writing import file_place, write_array


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_tree_arguments(parser)
    networks = parser.add_mutually_exclusive_group(required=True)
    networks.add_argument(
        '--checkpoints',
        nargs='+',
        metavar='TASK=CHECKPOINT',
        help="each task's single-task network",
    )
    networks.add_argument('--rsa', metavar='RSA.npy', help='affinities that were measured before')
    cap = parser.add_mutually_exclusive_group(required=True)
    cap.add_argument(
        '--cap',
        type=float,
        nargs='+',
        metavar='MADDS',
        help='limit for the whole network; one tree for each value',
    )
    cap.add_argument(
        '--reference', metavar='ARCHITECTURE.json', help='a tree whose cost is the cap'
    )
    parser.add_argument(
        '--grid',
        type=int,
        default=8,
        help='cells, along each side, that features are averaged over; 0 for none (default: 8)',
    )
    add_image_arguments(parser)
    return parser.parse_args()


def list_checkpoints(words: list[str], tasks: tuple[str, ...]) -> dict[str, str]:
    """Read ``TASK=CHECKPOINT`` words.

    Raises:
        ValueError: A task is missing, unknown or named twice.
    """
    pairs = [(task, path) for task, _, path in (word.partition('=') for word in words)]
    if sorted(task for task, _ in pairs) != sorted(tasks) or not all(path for _, path in pairs):
        raise InputError(
            f'--checkpoints {" ".join(words)}: expected one TASK=CHECKPOINT for each of {[*tasks]}'
        )
    return dict(pairs)


def measure(config: TreeConfig, args: argparse.Namespace) -> NDArray[np.float64]:
    """Measure the affinities of the tasks in every layer on the same images."""
    paths = list_checkpoints(args.checkpoints, config.tasks)
    networks = {  # all of them are checked before the first is run
        task: load_single_network(paths[task], task, config.encoder, config.encoder_cfg)
        for task in config.tasks
    }
    loader = image_loader(config.cfg, args.split, args.images, args.seed)
    count = len(loader.dataset)  # type: ignore[arg-type]
    if count < MIN_IMAGES:
        raise InputError(f'{count} images are too few to compare networks: at least {MIN_IMAGES}')
    preprocessor = MODELS.build(config.cfg.model.data_preprocessor)
    found = []
    for task, network in networks.items():
        print(f'{task}:', file=sys.stderr)
        found.append(
            measure_dissimilarities(network.to(get_device()), preprocessor, loader, args.grid)
        )
        network.cpu()
    return np.stack([rsa_affinity(matrices) for matrices in zip(*found, strict=True)])


def main() -> None:
    """Measure, search and write."""
    args = parse_args()
    folder = args.out.parent
    plot, measured = file_place(folder / 'rsa.png'), file_place(folder / 'rsa.npy')
    tree_places(args.out, len(args.cap or [args.reference]))
    config = config_of(args)
    if args.reference is not None:
        args.cap = [config.madds_of(args.reference)]
    if min(args.cap) < config.cost.shared().madds:  # before anything is measured
        raise InputError(
            f'a cap of {min(args.cap):,.0f} MAdds is out of reach: the tree that shares all layers '
            f'takes {config.cost.shared().madds:,}'
        )
    source = {'method': 'bmn', 'rsa': Path(args.rsa).name if args.rsa else 'rsa.npy'}
    if args.rsa:
        affinities = np.load(args.rsa, allow_pickle=False)
    else:
        affinities = measure(config, args)
        source |= {key: getattr(args, key) for key in ('images', 'split', 'seed', 'grid')}
    plot_affinities(affinities, config.tasks, plot, config.encoder.layer_names)
    if not args.rsa:
        write_array(affinities, measured)
    costs = grouping_costs(affinities)
    trees = [
        least_cost_tree(costs, config.cost.layer_madds, cap, config.fixed_madds) for cap in args.cap
    ]
    write_trees(
        [
            config.architecture(tree, {**source, 'cap': cap})
            for tree, cap in zip(trees, args.cap, strict=True)
        ],
        args.out,
    )


if __name__ == '__main__':
    with one_line_errors():
        main()
