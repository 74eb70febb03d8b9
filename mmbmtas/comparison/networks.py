"""Builds the networks of a comparison to measure their cost: multiply-adds and time."""

import copy
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmbmtas import launch
from mmbmtas.cost import ModuleCost, PathCosts
from mmbmtas.cost.timing import interleave, wait_for
from mmbmtas.registry import MODELS, SCOPE
from mmbmtas.structures import as_architecture


def build_network(
    config: str, options: Mapping[str, Any], tree: str | Path | None = None
) -> nn.Module:
    """Build the network of a training's config, with arbitrary weights.

    Args:
        config: The config.
        options: Overrides of it.
        tree: Architecture file, of a branched network.
    """
    return MODELS.build(_model_config(config, options, tree))


def build_networks(
    listed: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, list[nn.Module]]:
    """Build groups of networks, equal ones once, wherever their trees come from.

    Args:
        listed: By name, the ``config``, ``options`` and ``architecture`` of each network.
    """
    built: dict[str, nn.Module] = {}
    groups: dict[str, list[nn.Module]] = {}
    for name, networks in listed.items():
        groups[name] = []
        for network in networks:
            cfg = _model_config(network['config'], network['options'], network['architecture'])
            key = json.dumps(_without_source(cfg).to_dict(), sort_keys=True, default=repr)
            if key not in built:
                built[key] = MODELS.build(cfg)
            groups[name].append(built[key])
    return groups


def _model_config(
    config: str, options: Mapping[str, Any], tree: str | Path | None = None
) -> ConfigDict:
    """Read the config of the network alone, without its weights."""
    cfg = launch.read_config(config, {**options, **({'architecture': str(tree)} if tree else {})})
    cfg.launcher = 'none'
    launch.leave_out_weights(cfg)
    launch.prepare_config(cfg, training=False)
    init_default_scope(cfg.get('default_scope', SCOPE))
    return cfg.model


def _without_source(model: ConfigDict) -> ConfigDict:
    """Put what is in the tree's file for its path, but for where it comes from."""
    model = copy.deepcopy(model)
    if isinstance(path := model.backbone.get('architecture'), str):
        content = as_architecture(path).to_dict()
        kept = {key: value for key, value in content.items() if key not in ('source', 'madds')}
        model.backbone.architecture = kept
    return model


def network_cost(
    config: str, options: Mapping[str, Any], tree: str | Path | None = None
) -> ModuleCost:
    """Count what a network costs; nothing of it is computed. Arguments as :func:`build_network`."""
    with torch.device('meta'):
        network: Any = build_network(config, options, tree)
    if hasattr(network, 'measure_paths'):  # each domain on images of its own
        cost, paths = network.measure_paths(), network.backbone.architecture
        madds, operations = (int(cost.paths(paths, u).sum) for u in ('madds', 'operations'))
        return ModuleCost(madds, operations, int(cost.paths(paths, 'params').union))
    return network.measure_network()


def path_costs(
    config: str, options: Mapping[str, Any], tree: str | Path | None = None
) -> PathCosts:
    """Count the multiply-adds of a network of paths. Arguments as :func:`build_network`."""
    with torch.device('meta'):
        network: Any = build_network(config, options, tree)
    return network.measure_paths().paths(network.backbone.architecture)


def measure_latencies(
    groups: Mapping[str, Sequence[Any]],
    shape: tuple[int, int],
    device: torch.device,
    warmup: int = 5,
    repeats: int = 30,
) -> dict[str, float]:
    """Time groups of networks in turn, so that a busy moment of the machine hits all alike.

    A GPU has only the group that has its turn; it runs once before the clock starts.

    Args:
        groups: Networks by name; those of a group run one after another on the same image.
        shape: Height and width of the image.
        device: Where to run.
        warmup: Rounds before the clock starts.
        repeats: Rounds that are timed.

    Returns:
        Milliseconds an image of each group, the median.
    """
    image = torch.rand(1, 3, *shape, device=device)
    moves = device.type != 'cpu'

    @contextmanager
    def have_turn(name: str) -> Iterator[None]:
        for network in groups[name]:
            network.to(device).eval()
        if moves:
            _run(groups[name], image)
            wait_for(device)
        yield
        for network in groups[name] if moves else ():
            network.to('cpu')

    calls = {name: partial(_run, networks, image) for name, networks in groups.items()}
    seconds = interleave(calls, device, warmup, repeats, around=have_turn)
    return {name: 1e3 * statistics.median(times) for name, times in seconds.items()}


@torch.inference_mode()
def _run(networks: Sequence[Any], image: Tensor) -> None:
    """Run networks one after another."""
    for network in networks:
        network.encode_decode(image)
