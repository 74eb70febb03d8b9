"""How similarly the layers of single-task networks distinguish images, as BMN compares them."""

from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d
from torch.utils.data import DataLoader

from mmbmtas.encoders import Encoder
from mmbmtas.engine.failures import worker_death_explained
from mmbmtas.errors import InputError
from mmbmtas.grouping import dissimilarity
from mmbmtas.models.backbones import BranchedNetwork
from mmbmtas.models.single_networks import read_single_network
from mmbmtas.structures import BranchedArchitecture

from .images import with_progress


def load_single_network(
    path: str | PathLike, task: str, encoder: Encoder, encoder_cfg: dict[str, Any]
) -> BranchedNetwork:
    """Load the encoder of a single-task network; decoders and configs are not needed.

    Args:
        path: Its checkpoint, read without executing anything.
        task: The task it was trained for.
        encoder: The encoder it must have.
        encoder_cfg: The encoder's config.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is of another encoder, or of other tasks.
    """
    weights = read_single_network(path, task, encoder)
    tree = BranchedArchitecture.shared([task], encoder.to_config(), encoder.num_layers)
    network = BranchedNetwork(tree, encoder=dict(encoder_cfg))
    prefix = 'backbone.'
    own = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        raise InputError(f'{path} does not fit the encoder: {error}') from error
    return network


@worker_death_explained('test_dataloader')
@torch.no_grad()
def measure_dissimilarities(
    network: BranchedNetwork, preprocessor: Any, loader: DataLoader, grid: int = 8
) -> list[NDArray[np.float64]]:
    """Compare images by the features of each layer of a single-task network.

    Args:
        network: Of one task.
        preprocessor: The data preprocessor of its training.
        loader: The images.
        grid: Features are averaged over ``grid x grid`` cells first, which keeps 500 images of a
            ResNet-50 within 2 GB and lets images differ in size (our choice). 0 compares all
            positions, and needs images of one size.

    Returns:
        For each layer the dissimilarity of the images, ``(K, K)``.

    Raises:
        ValueError: The images differ in size and ``grid`` is 0.
        WorkerError: A worker of the loader has died.
    """
    network.eval()
    device = next(network.parameters()).device
    found: list[list[NDArray]] = [[] for _ in network.layers]
    for batch in with_progress(loader):
        x = network.stem(preprocessor(batch, False)['inputs'].to(device))
        for (layer,), features in zip(network.layers, found, strict=True):
            x = layer(x)
            pooled = adaptive_avg_pool2d(x, grid) if grid else x
            features.append(pooled.flatten(1).cpu().numpy())
    widths = {array.shape[1] for array in found[0]}
    if len(widths) > 1:
        raise InputError(
            'images differ in size, so their features cannot be compared position by position: '
            'average them over a grid, or pad the images to one size'
        )
    return [dissimilarity(np.concatenate(features)) for features in found]
