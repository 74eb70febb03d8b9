"""Times the parts of a branched network in ONNX Runtime."""

import platform
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from mmbmtas.comparison.latency import rounded_ms
from mmbmtas.cost import LatencyTable
from mmbmtas.cost.timing import interleave
from mmbmtas.deploy.parts import runtime_call
from mmbmtas.deploy.sessions import runtime_place
from mmbmtas.launch.tree_config import TreeConfig
from mmbmtas.registry import MODELS
from mmbmtas.structures import BranchedArchitecture

CPU = torch.device('cpu')
Call = Callable[[], object]


def count_parts(config: TreeConfig) -> int:
    """Return the number of parts, and of whole networks, that are exported."""
    return 1 + (config.encoder.num_layers + 1) * len(config.tasks) + 2


def measure_exported_latency(
    config: TreeConfig,
    warmup: int = 2,
    repeats: int = 15,
    clock: Literal['wall', 'cpu'] = 'wall',
    report: Callable[[], object] = lambda: None,
) -> LatencyTable:
    """Time stem, layers and decoders in ONNX Runtime on the CPU; see :func:`measure_latency`.

    Each part is exported and run alone; ``g`` copies of a layer are one part. Alone a part takes
    longer than within a network: a run has to start, and features to be laid out. So the shared
    network is timed as a whole too. Every part gives up the same share of the time of its first
    copy, so that the parts of the shared network together take as long as it does. The network all
    apart is timed as well, to see how far the table is from it (``whole_ms``).

    Args:
        config: Of a search or of a branched network.
        warmup: Rounds before the clock counts.
        repeats: Rounds that count.
        clock: What to time with, see :func:`measure_latency`.
        report: Called whenever one of the :func:`count_parts` is exported.

    Raises:
        InputError: onnx or ONNX Runtime is missing, or torch cannot export a part.
    """
    tasks, layers = config.tasks, config.encoder.num_layers
    encoder = config.encoder.to_config()
    apart: Any = _build(config, BranchedArchitecture.all_apart(tasks, encoder, layers))
    shared: Any = _build(config, BranchedArchitecture.shared(tasks, encoder, layers))
    image = torch.rand(1, 3, *config.shape)
    calls = {}
    for name, call in _calls(apart, shared, image):
        calls[name] = call
        report()
    seconds = interleave(calls, CPU, warmup, repeats, clock)
    ms = {name: 1e3 * statistics.median(times) for name, times in seconds.items()}
    stem, *decoders = ms['stem'], *(ms[f'decoder {index}'] for index in range(len(tasks)))
    copies = range(1, len(tasks) + 1)
    rows = [[ms[f'layer {index} x {g}'] for g in copies] for index in range(layers)]
    parts = stem + sum(decoders) + sum(row[0] for row in rows)
    share = max(1 - ms['shared'] / parts, 0.0)
    return LatencyTable(
        tasks=tasks,
        encoder=encoder,
        shape=config.shape,
        stem_ms=rounded_ms(stem * (1 - share)),
        layers_ms=tuple(tuple(rounded_ms(x - share * row[0]) for x in row) for row in rows),
        decoders_ms={
            task: rounded_ms(value * (1 - share))
            for task, value in zip(tasks, decoders, strict=True)
        },
        measured={
            'backend': 'onnxruntime',
            'precision': 'float32',
            'device': runtime_place(),
            'machine': platform.machine(),
            'torch': torch.__version__,
            'rounds': repeats,
            'clock': clock,
            'whole_ms': {name: rounded_ms(ms[name]) for name in ('shared', 'all apart')},
        },
    )


def _build(config: TreeConfig, tree: BranchedArchitecture) -> Any:
    return MODELS.build(config.model_config(tree)).eval()


@torch.no_grad()
def _calls(apart: Any, shared: Any, image: Tensor) -> Iterator[tuple[str, Call]]:
    """Yield the name of each part and of the whole networks, and what runs it."""
    backbone = apart.backbone
    yield 'stem', runtime_call(backbone.stem, [backbone.stem], [image])
    low_level = x = backbone.stem(image)
    for index, branches in enumerate(backbone.layers):
        for copies in range(1, len(branches) + 1):
            chosen = [*branches[:copies]]
            call = runtime_call(partial(_side_by_side, chosen), chosen, [x] * copies)
            yield f'layer {index} x {copies}', call
        x = branches[0](x)
        if index == backbone.encoder.low_level_index:
            low_level = x
    size = image.shape[2:]
    for index, head in enumerate(apart.decode_heads.values()):
        call = runtime_call(partial(_decode, head, size), [head], [low_level, x])
        yield f'decoder {index}', call
    for name, network in (('shared', shared), ('all apart', apart)):
        yield name, runtime_call(partial(_maps, network), [network], [image])


def _side_by_side(branches: list[Any], *inputs: Tensor) -> tuple[Tensor, ...]:
    return tuple(branch(x) for branch, x in zip(branches, inputs, strict=True))


def _decode(head: Any, size: torch.Size, low_level: Tensor, context: Tensor) -> Tensor:
    return head.at_input_size(head((low_level, context)), size)


def _maps(network: Any, image: Tensor) -> tuple[Tensor, ...]:
    return tuple(network.encode_decode(image).values())
