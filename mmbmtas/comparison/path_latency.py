"""Times the candidates of a network of paths on the device at hand."""

import statistics
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmbmtas.comparison.latency import how_measured, rounded_ms
from mmbmtas.cost import PathLatencyTable
from mmbmtas.cost.timing import Marks, check_clock
from mmbmtas.launch.path_config import PathConfig
from mmbmtas.models.inference import prepare_for_inference
from mmbmtas.registry import MODELS
from mmbmtas.structures import is_zero


def measure_path_latency(
    config: PathConfig,
    device: torch.device,
    warmup: int = 2,
    repeats: int = 15,
    fuse_conv_bn: bool = False,
    channels_last: bool = False,
    clock: Literal['wall', 'cpu'] = 'wall',
    report: Callable[[], object] = lambda: None,
) -> PathLatencyTable:
    """Time stem, candidates, last layer and decoders at ``cost_shape``, one image at a time.

    A round runs every part once, all candidates of a layer on the same input, so that a busy moment
    of the machine hits all alike. A time is the median over rounds; a candidate that leaves its
    layer out takes none. Weights are random, which does not matter to the time.

    Args:
        config: Of a search or of a network of paths.
        device: Where to run.
        warmup: Rounds before the clock counts.
        repeats: Rounds that count.
        fuse_conv_bn: See :func:`prepare_for_inference`.
        channels_last: See :func:`prepare_for_inference`.
        clock: What to time with, as for :func:`~mmbmtas.comparison.latency.measure_latency`.
        report: Called after each of the ``warmup + repeats`` rounds.

    Raises:
        InputError: ``clock`` is ``cpu`` on another device.
    """
    check_clock(clock, device)
    network = _network_of_candidates(config)
    prepare_for_inference(network, fuse_conv_bn, channels_last).to(device)
    image = torch.rand(1, 3, *config.shape, device=device)
    rounds = []
    with torch.inference_mode():
        for index in range(warmup + repeats):
            marks = Marks(device, clock)
            for _ in _run_parts(network, image):
                marks.mark()
            if index >= warmup:
                rounds.append(marks.milliseconds())
            report()
    times = iter([rounded_ms(statistics.median(part)) for part in zip(*rounds, strict=True)])
    stem = next(times)
    measured = [[next(times) for _ in layer] for layer in config.candidates]
    candidates = tuple(
        tuple(0.0 if is_zero(c) else ms for c, ms in zip(*rows, strict=True))
        for rows in zip(config.candidates, measured, strict=True)
    )
    return PathLatencyTable(
        domains=config.domains,
        encoder=config.encoder.to_config(),
        shape=config.shape,
        stem_ms=stem,
        candidates_ms=candidates,
        context_ms=next(times),
        decoders_ms=dict(zip(config.tasks, times, strict=True)),
        measured=how_measured(device, repeats, fuse_conv_bn, channels_last, clock),
    )


def _network_of_candidates(config: PathConfig) -> Any:
    """Build a network whose layers hold every candidate, apart and with running statistics."""
    network: Any = MODELS.build(
        {
            'type': 'DomainEncoderDecoder',
            'backbone': {
                'type': 'PathNetwork',
                'architecture': config.single().to_dict(),
                'domains': config.domains,
                'norm_statistics': 'shared',
            },
            'decode_heads': config.cfg.model.decode_heads,
            'cost_shape': config.shape,
        }
    )
    network.backbone.layers = nn.ModuleList(
        nn.ModuleList(config.encoder.build_candidate(index, c) for c in range(len(layer)))
        for index, layer in enumerate(config.candidates)
    )
    return network


def _run_parts(network: Any, image: Tensor) -> Iterator[None]:
    """Run stem, all candidates of each layer, last layer and decoders, and pause after each."""
    backbone = network.backbone
    x = backbone.stem(image)
    yield
    levels = {}
    for index, candidates in enumerate(backbone.layers):
        outputs: list[Tensor] = []
        for candidate in candidates:
            outputs = [*outputs[:1], candidate(x)]
            yield
        x = levels[index] = outputs[0]
    levels[len(backbone.layers)] = backbone.context(x)
    yield
    features = tuple(levels[tap] for tap in backbone.taps)
    for head in network.decode_heads.values():
        head.at_input_size(head(features), image.shape[2:])
        yield
