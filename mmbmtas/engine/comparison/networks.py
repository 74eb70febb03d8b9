"""The networks of a comparison, built to see what they cost: multiply-adds and time."""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import init_default_scope
from torch import nn

from mmbmtas.cost import ModuleCost
from mmbmtas.engine import launch
from mmbmtas.registry import MODELS, SCOPE


def build_network(
    config: str, options: Mapping[str, Any], tree: str | Path | None = None
) -> nn.Module:
    """Build the network of a training's config, with weights that do not matter.

    Args:
        config: The config.
        options: Overrides of it.
        tree: Architecture file, of a branched network.
    """
    cfg = launch.read_config(config, {**options, **({'architecture': str(tree)} if tree else {})})
    cfg.launcher, cfg.pretrained, cfg.single_checkpoints = 'none', None, None
    launch.prepare_config(cfg)
    init_default_scope(cfg.get('default_scope', SCOPE))
    return MODELS.build(cfg.model)


def network_cost(
    config: str, options: Mapping[str, Any], tree: str | Path | None = None
) -> ModuleCost:
    """Count what a network costs; nothing of it is computed. Arguments as :func:`build_network`."""
    with torch.device('meta'):
        network: Any = build_network(config, options, tree)
    return network.measure_network()


def latency_place(device: torch.device) -> str:
    """Say where times are measured: the device, and on CPUs the number of threads."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f'CPU, {threads} thread{"s" if threads > 1 else ""}'


def measure_latencies(
    groups: Mapping[str, Sequence[Any]],
    shape: tuple[int, int],
    device: torch.device,
    warmup: int = 5,
    repeats: int = 30,
) -> dict[str, float]:
    """Time groups of networks in turn, so that a busy moment of the machine hits all alike.

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
    seconds: dict[str, list[float]] = {name: [] for name in groups}
    for networks in groups.values():
        for network in networks:
            network.to(device).eval()
    with torch.inference_mode():
        for _ in range(warmup + repeats):
            for name, networks in groups.items():
                start = time.perf_counter()
                for network in networks:
                    network.encode_decode(image)
                if device.type == 'cuda':
                    torch.cuda.synchronize(device)
                seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(times[warmup:]) for name, times in seconds.items()}
