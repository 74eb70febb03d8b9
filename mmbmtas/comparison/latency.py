"""Times the parts of a branched network on the device at hand."""

import itertools
import platform
import statistics
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from mmbmtas.cost import LatencyTable
from mmbmtas.cost.timing import Marks, check_clock, latency_place
from mmbmtas.launch.tree_config import TreeConfig
from mmbmtas.models.inference import prepare_for_inference
from mmbmtas.registry import MODELS
from mmbmtas.structures import BranchedArchitecture


def measure_latency(
    config: TreeConfig,
    device: torch.device,
    warmup: int = 2,
    repeats: int = 15,
    fuse_conv_bn: bool = False,
    channels_last: bool = False,
    clock: Literal['wall', 'cpu'] = 'wall',
    report: Callable[[], object] = lambda: None,
) -> LatencyTable:
    """Time stem, layers and decoders at a config's ``cost_shape``, one image at a time.

    A pass runs ``g`` branches of every layer, one after another as :class:`BranchedNetwork` does,
    and the clock is read after each layer: so a layer finds in the caches what it would find there.
    A round has a pass for each ``g`` from 1 to the number of tasks, so that a busy moment of the
    machine hits all alike. A time is the median over rounds (of the stem and of a decoder over all
    passes). Weights are random, which does not matter to the time; a decoder's includes bringing
    its map to the input's size.

    Args:
        config: Of a search or of a branched network.
        device: Where to run.
        warmup: Rounds before the clock counts.
        repeats: Rounds that count.
        fuse_conv_bn: See :func:`prepare_for_inference`.
        channels_last: See :func:`prepare_for_inference`.
        clock: What to time with. ``cpu`` counts the seconds of all threads: with a single one it is
            the time on a machine that does nothing else, although others use it.
        report: Called after each of the ``(warmup + repeats) * tasks`` passes.

    Raises:
        ValueError: ``clock`` is ``cpu`` on another device.
    """
    check_clock(clock, device)
    num_tasks, num_layers = len(config.tasks), config.encoder.num_layers
    apart = BranchedArchitecture.all_apart(config.tasks, config.encoder.to_config(), num_layers)
    network: Any = MODELS.build(config.model_config(apart))
    prepare_for_inference(network, fuse_conv_bn, channels_last).to(device)
    image = torch.rand(1, 3, *config.shape, device=device)
    times: list[list[list[float]]] = [[] for _ in range(num_tasks)]  # by copies, round and part
    with torch.inference_mode():
        for index in range(warmup + repeats):
            for copies, rounds in enumerate(times, start=1):
                part_ms = _time_pass(network, image, copies, clock)
                if index >= warmup:
                    rounds.append(part_ms)
                report()
    medians = [list(map(statistics.median, zip(*rounds, strict=True))) for rounds in times]
    everywhere = [statistics.median(part) for part in zip(*itertools.chain(*times), strict=True)]
    rows = zip(*(row[1 : num_layers + 1] for row in medians), strict=True)
    return LatencyTable(
        tasks=config.tasks,
        encoder=config.encoder.to_config(),
        shape=config.shape,
        stem_ms=rounded_ms(everywhere[0]),
        layers_ms=tuple(tuple(map(rounded_ms, row)) for row in rows),
        decoders_ms=dict(
            zip(config.tasks, map(rounded_ms, everywhere[num_layers + 1 :]), strict=True)
        ),
        measured=how_measured(device, repeats, fuse_conv_bn, channels_last, clock),
    )


def how_measured(
    device: torch.device, repeats: int, fuse_conv_bn: bool, channels_last: bool, clock: str
) -> dict[str, Any]:
    """Return what a table says of where and how it was measured."""
    return {
        'device': latency_place(device),
        'machine': platform.machine(),
        'torch': torch.__version__,
        'rounds': repeats,
        'fuse_conv_bn': fuse_conv_bn,
        'channels_last': channels_last,
        'clock': clock,
    }


def _time_pass(network: Any, image: Tensor, copies: int, clock: str) -> list[float]:
    """Run the first ``copies`` branches of each layer and all decoders; return each part's ms."""
    marks = Marks(image.device, clock)
    for _ in _run_parts(network, image, copies):
        marks.mark()
    return marks.milliseconds()


def _run_parts(network: Any, image: Tensor, copies: int) -> Iterator[None]:
    """Run stem, layers and decoders in order, and pause after each."""
    backbone = network.backbone
    outputs = [backbone.stem(image)] * copies
    levels = {}
    yield
    for index, branches in enumerate(backbone.layers):
        pairs = zip(branches[:copies], outputs, strict=True)
        outputs = [branch(x) for branch, x in pairs]
        if index in backbone.taps:
            levels[index] = outputs
        yield
    for index, head in enumerate(network.decode_heads.values()):
        features = tuple(levels[tap][index % copies] for tap in backbone.taps)
        head.at_input_size(head(features), image.shape[2:])
        yield


def rounded_ms(milliseconds: float) -> float:
    """Round to the microsecond, but not to nothing."""
    return max(round(milliseconds, 3), 0.001)
