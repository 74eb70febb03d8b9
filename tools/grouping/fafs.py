"""Group tasks as FAFS does: by the images that a fully shared network finds hard.

Example:
    python tools/grouping/fafs.py configs/branched_scenes.py shared.pth --alpha 0.1 1 5
"""

import argparse
from typing import Any

from mmengine.device import get_device
from mmengine.runner import CheckpointLoader

from mmbmtas.checkpoints import network_weights, require_finite
from mmbmtas.comparison.affinity import image_loader, measure_errors
from mmbmtas.comparison.affinity.images import add_image_arguments
from mmbmtas.encoders import check_fits
from mmbmtas.errors import InputError
from mmbmtas.grouping import difficulty_affinity, fafs_tree
from mmbmtas.launch.architectures import architecture_of_checkpoint
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.loading import misfit_named
from mmbmtas.launch.tree_config import (
    TreeConfig,
    add_tree_arguments,
    config_of,
    tree_places,
    write_trees,
)
from mmbmtas.losses.balancing import without_balancing
from mmbmtas.registry import MODELS
from mmbmtas.structures import BranchedArchitecture


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_tree_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint of a network that shares all encoder layers')
    parser.add_argument(
        '--alpha',
        type=float,
        nargs='+',
        default=[1.0],
        help='weight of separating dissimilar tasks; one tree for each value; with larger values, '
        'tasks branch earlier (default: 1)',
    )
    add_image_arguments(parser)
    return parser.parse_args()


def load_shared(config: TreeConfig, checkpoint: str) -> Any:
    """Load the fully shared network.

    Raises:
        ValueError: The checkpoint is of another network.
    """
    tree = BranchedArchitecture.of(architecture_of_checkpoint(checkpoint))
    check_fits(tree, config.encoder, checkpoint)
    if tree.groupings[-1].num_groups != 1 or set(tree.tasks) != set(config.tasks):
        raise InputError(
            f'{checkpoint} holds {tree.describe()}; expected a network of {[*config.tasks]} that '
            'shares all layers'
        )
    model = MODELS.build(config.model_config(tree))
    weights = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')['state_dict']
    with misfit_named(checkpoint):
        model.load_state_dict(without_balancing(weights))
    require_finite(network_weights(model), checkpoint)
    return model.to(get_device())


def main() -> None:
    """Measure, group and write."""
    args = parse_args()
    tree_places(args.out, len(args.alpha))
    config = config_of(args)
    model = load_shared(config, args.checkpoint)
    errors = measure_errors(model, image_loader(config.cfg, args.split, args.images, args.seed))
    order = [model.tasks.index(task) for task in config.tasks]
    affinity = difficulty_affinity(errors[order])
    source = {
        'method': 'fafs',
        'images': errors.shape[1],
        'split': args.split,
        'seed': args.seed,
        'affinity': affinity.round(6).tolist(),
    }
    write_trees(
        [
            config.architecture(
                fafs_tree(affinity, config.cost.layer_madds, alpha), {**source, 'alpha': alpha}
            )
            for alpha in args.alpha
        ],
        args.out,
    )


if __name__ == '__main__':
    with one_line_errors():
        main()
