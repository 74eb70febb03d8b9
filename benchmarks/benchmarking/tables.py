"""Tables of latencies beside what is measured."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from mmbmtas.cost import LatencyTable
from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture


def read_table(
    args: Namespace, tree: Any, shape: tuple[int, int], how: Mapping[str, Any]
) -> LatencyTable:
    """Read the table that a command line names, and check that it is of a network.

    Args:
        args: The command line.
        tree: The network's tree, if it has one.
        shape: Height and width of the images.
        how: How the network is run, as the table says it was.

    Raises:
        InputError: The table is of another network, or was measured in another way.
    """
    if not isinstance(tree, BranchedArchitecture) or args.batch_size != 1:
        raise InputError('--latency: a table is for one image at a time, and for trees')
    table = LatencyTable.load(args.latency)
    table.check_fits(tree.tasks, tree.encoder, tree.num_layers, shape)
    measured = {'backend': 'torch', **(table.measured or how)}
    for key, own in how.items():
        found = measured.get(key, own)
        if found != own:
            raise InputError(f'{args.latency} was measured with {key} {found}, expected {own}')
    return table
