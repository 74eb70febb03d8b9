"""Writes a trained network as an ONNX file that needs neither this package nor torch."""

import inspect
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmbmtas.cost import with_cost
from mmbmtas.errors import InputError
from mmbmtas.models.backbones import BranchedNetwork
from mmbmtas.models.segmentors import MultiTaskEncoderDecoder, SearchEncoderDecoder
from mmbmtas.paths import (
    DomainEncoderDecoder,
    PathSearchEncoderDecoder,
    with_path_cost,
)
from mmbmtas.structures import PathArchitecture, RoutedArchitecture
from mmbmtas.structures.documents import Document, write_document
from mmbmtas.version import __version__
from mmbmtas.writing import file_place, written_beside

from .description import FORMAT, INPUT, VERSION, to_metadata
from .extra import require
from .graph import PAD_VALUE, ImageNetwork, Padding
from .pooling import PoolingByProducts

OPSET = 17
"""Version of ONNX's operators: the newest that torch 2.1 writes."""

_HOLDS = {
    'classes': ('logits of the classes', 'class ids'),
    'probability': ('logit', 'probabilities'),
    'normals': ('vectors x, y, z of any length', 'unit vectors x, y, z'),
    'value': ('values', 'values'),
    'label': ('logits of the classes of the image', 'probabilities of the classes of the image'),
}


@dataclass(frozen=True)
class ExportedNetwork:
    """An exported network that is not written yet.

    Attributes:
        content: The bytes of the ONNX file.
        description: What its metadata say, see :mod:`mmbmtas.deploy.description`.
    """

    content: bytes
    description: Document

    def write(self, path: Path) -> list[Path]:
        """Write the file, and the description as JSON beside it; return both places."""
        places = export_places(path)
        with written_beside(places[0]) as beside:
            beside.write_bytes(self.content)
        write_document(self.description, places[1])
        return places


def export_places(path: Path) -> list[Path]:
    """Return the places of ``NAME.onnx`` and of ``NAME.onnx.json`` beside it.

    Raises:
        InputError: The name does not end with ``.onnx``.
        OccupiedError: A folder is at one of the places.
    """
    if path.suffix != '.onnx':
        raise InputError(f'{path}: expected a file name that ends with .onnx')
    return [file_place(path), file_place(path.with_name(f'{path.name}.json'))]


def export_onnx(
    network: MultiTaskEncoderDecoder,
    meta: Mapping[str, Any],
    tasks: Sequence[str] | None = None,
    shape: tuple[int, int] | None = None,
    dynamic: bool = False,
    padding: Padding | None = None,
    decide: bool = False,
    source: Mapping[str, Any] | None = None,
) -> ExportedNetwork:
    """Export a network. Batch normalisations are folded into the convolutions before them.

    Args:
        network: The network in evaluation mode, on the CPU.
        meta: ``classes``, ``palette``, ``units`` and ``task_kinds`` by task, as the metainfo of the
            data set has them.
        tasks: Which tasks to export, in this order; by default all. What only others need is left
            out.
        shape: Height and width of the images; by default the network's ``cost_shape``. Costs are
            stated at this size.
        dynamic: Whether images may have any size, and any number of them may come at once.
        padding: How the graph pads images, if at all.
        decide: Whether outputs are predictions in place of maps.
        source: What the description says of config and checkpoint.

    Raises:
        InputError: The network is a supernet, has no such task, or does what torch cannot export;
            or the package onnx is missing.
    """
    onnx = require('onnx')
    if isinstance(network, SearchEncoderDecoder | PathSearchEncoderDecoder):
        raise InputError(
            'a supernet cannot be exported, since it holds every candidate: write its tree by '
            'tools/export_architecture.py CHECKPOINT -o architecture.json, train that with a '
            'config such as configs/branched_scenes.py or configs/mpnas/paths_pocket.py, and '
            'export the trained network'
        )
    tasks = _require_tasks(network, tasks)
    shape = shape or network.cost_shape
    graph = ImageNetwork(network, tasks, padding, decide).eval()
    model = _trace(graph, shape, dynamic)
    description = _describe(graph, model, meta, shape, dynamic, source or {})
    for output in model.graph.output:
        sizes = output.type.tensor_type.shape.dim
        channels = description['tasks'][output.name]['channels']
        sizes[1].dim_value = 1 if _is_decided_class(graph, output.name) else channels
    onnx.helper.set_model_props(model, to_metadata(description))
    onnx.checker.check_model(model)
    return ExportedNetwork(model.SerializeToString(), description)


def _require_tasks(
    network: MultiTaskEncoderDecoder, tasks: Sequence[str] | None
) -> tuple[str, ...]:
    chosen = network.tasks if tasks is None else tuple(tasks)
    unknown = [task for task in chosen if task not in network.tasks]
    if unknown or not chosen or len({*chosen}) != len(chosen):
        raise InputError(f'tasks {[*chosen]}: expected different ones out of {[*network.tasks]}')
    if INPUT in chosen:
        raise InputError(f'a task called {INPUT!r} cannot be exported: the input has this name')
    return chosen


def _trace(graph: ImageNetwork, shape: tuple[int, int], dynamic: bool) -> Any:
    """Trace a graph to an ONNX model.

    By TorchScript: torch's newer exporter takes 50 times as long with sizes that are not fixed.
    """
    options: dict[str, Any] = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        options['dynamo'] = False
    if dynamic:
        sizes = {0: 'batch', 2: 'height', 3: 'width'}
        heads = graph.network.decode_heads
        axes = {t: {0: 'batch'} if heads[t].output == 'label' else sizes for t in graph.tasks}
        options['dynamic_axes'] = {INPUT: sizes, **axes}
    image = torch.zeros(1, 3, *shape, dtype=torch.uint8)
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        torch.no_grad(),
        PoolingByProducts(),
    ):
        warnings.simplefilter('ignore')  # what was read from a shape, and that it is TorchScript
        path = str(Path(folder, 'network.onnx'))
        try:
            torch.onnx.export(
                graph,
                (image,),
                path,
                input_names=[INPUT],
                output_names=[*graph.tasks],
                opset_version=OPSET,
                **options,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            first = str(error).strip().splitlines()[0]
            hint = (
                'a fixed --shape, or a newer torch, may help'
                if dynamic
                else 'a newer torch may help'
            )
            raise InputError(
                f'torch {torch.__version__} cannot export this network: {first:.300} ({hint})'
            ) from error
        return require('onnx').load(path)


def _is_decided_class(graph: ImageNetwork, task: str) -> bool:
    return graph.decide and graph.network.decode_heads[task].output == 'classes'


def _describe(
    graph: ImageNetwork,
    model: Any,
    meta: Mapping[str, Any],
    shape: tuple[int, int],
    dynamic: bool,
    source: Mapping[str, Any],
) -> Document:
    """Describe a graph and what it was traced to."""
    network, padding = graph.network, graph.padding
    tree, madds = _costs(network, graph.tasks, shape)
    return {
        'format': FORMAT,
        'version': VERSION,
        'input': {
            'name': INPUT,
            'type': 'uint8',
            'layout': 'NCHW',
            'channels': 'RGB',
            'range': [0, 255],
            'shape': ['batch', 3, 'height', 'width'] if dynamic else [1, 3, *shape],
        },
        'padding': padding
        and {'size': [*padding.size], 'divisor': padding.divisor, 'value': PAD_VALUE},
        'postprocess': 'decision' if graph.decide else 'none',
        'precision': 'float32',
        'tasks': {
            output.name: _describe_task(graph, output, meta) for output in model.graph.output
        },
        'backbone': type(network.backbone).__name__,
        'encoder': network.backbone.encoder.to_config(),
        'architecture': tree and tree.to_dict(),
        'madds': madds and {'shape': [*shape], 'network': madds},
        'source': {**source, 'mmbmtas': __version__, 'torch': torch.__version__},
    }


def _describe_task(graph: ImageNetwork, output: Any, meta: Mapping[str, Any]) -> Document:
    task = output.name
    head = graph.network.decode_heads[task]
    kind = require('onnx').helper.tensor_dtype_to_np_dtype(output.type.tensor_type.elem_type)
    unit = (meta.get('units') or {}).get(task) or ('m' if task == 'depth' else None)
    classes, palette = ((meta.get(key) or {}).get(task) for key in ('classes', 'palette'))
    return {
        'output': head.output,
        'channels': head.num_classes,
        'holds': _HOLDS[head.output][graph.decide],
        'type': str(kind),
        'kind': (meta.get('task_kinds') or {}).get(task),
        'unit': unit,
        'classes': classes and [*map(str, classes)],
        'palette': palette and [[*map(int, colour)] for colour in palette],
    }


def _path_costs(
    network: DomainEncoderDecoder, tasks: tuple[str, ...], shape: tuple[int, int]
) -> tuple[PathArchitecture, int | None]:
    """Return the paths of the domains of some tasks, and what all of them cost on one image."""
    domains = [domain for domain, own in network.domains.items() if {*own} & {*tasks}]
    architecture = network.backbone.architecture
    if [*architecture.domains] != domains:
        architecture = architecture.for_tasks(domains)
    whole = {*tasks} == {task for domain in domains for task in network.domains[domain]}
    cost = network.measure_paths(shape)
    found = cost.paths(architecture)
    same = network.backbone.norm_statistics == 'shared'
    madds = int(found.prefix if same else found.sum) if whole else None
    return with_path_cost(architecture, cost, shape), madds


def _costs(
    network: MultiTaskEncoderDecoder, tasks: tuple[str, ...], shape: tuple[int, int]
) -> tuple[RoutedArchitecture | None, int | None]:
    """Return the tree of some tasks and the multiply-adds of the network that serves them."""
    if isinstance(network, DomainEncoderDecoder):
        return _path_costs(network, tasks, shape)
    if isinstance(network.backbone, BranchedNetwork):
        tree = network.backbone.architecture
        tree = tree if tasks == tree.tasks else tree.for_tasks(tasks)
        tree = with_cost(tree, network.measure_cost(shape), shape)
        assert tree.madds is not None
        return tree, tree.madds['network']
    if {*tasks} == {*network.tasks}:
        return None, network.measure_network(shape).madds
    return None, None  # encoders that exchange features: what is left is not measured
