"""Writes a trained network as a file that needs neither this package nor its config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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

from .description import FORMAT, INPUT, VERSION
from .formats import SUFFIXES, describe_onnx, trace
from .graph import PAD_VALUE, ImageNetwork, Padding

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
        content: The bytes of the file.
        description: What its metadata say, see :mod:`mmbmtas.deploy.description`.
        suffix: Ending of the file's name, one of :data:`~mmbmtas.deploy.formats.SUFFIXES`.
    """

    content: bytes
    description: Document
    suffix: str = '.onnx'

    def with_model(self, model: Any, **changes: Any) -> 'ExportedNetwork':
        """Return another ONNX model, described as this one but for some keys."""
        description = {**self.description, **changes}
        return replace(self, content=describe_onnx(model, description), description=description)

    def write(self, path: Path) -> list[Path]:
        """Write the file, and the description as JSON beside it; return both places."""
        places = export_places(path)
        with written_beside(places[0]) as beside:
            beside.write_bytes(self.content)
        write_document(self.description, places[1])
        return places


def export_places(path: Path) -> list[Path]:
    """Return the places of a file such as ``NAME.onnx``, and of ``NAME.onnx.json`` beside it.

    Raises:
        InputError: The name ends like no format.
        OccupiedError: A folder is at one of the places.
    """
    if path.suffix not in SUFFIXES:
        known = ', '.join(f'{suffix} ({what})' for suffix, what in SUFFIXES.items())
        raise InputError(f'{path}: expected a file name that ends with one of {known}')
    return [file_place(path), file_place(path.with_name(f'{path.name}.json'))]


def export_network(
    network: MultiTaskEncoderDecoder,
    meta: Mapping[str, Any],
    tasks: Sequence[str] | None = None,
    shape: tuple[int, int] | None = None,
    dynamic: bool = False,
    padding: Padding | None = None,
    decide: bool = False,
    source: Mapping[str, Any] | None = None,
    suffix: str = '.onnx',
) -> ExportedNetwork:
    """Export a network. Batch normalisations are folded into the convolutions before them.

    Args:
        network: The network in evaluation mode, on the CPU.
        meta: ``classes``, ``palette``, ``units`` and ``task_kinds`` by task, as the metainfo of the
            data set has them.
        tasks: Which tasks to export, in this order; by default all. What only others need is left
            out.
        shape: Height and width of the images; by default those of which the network sees its
            ``cost_shape``. Costs are stated at the size that it sees.
        dynamic: Whether images may have any size, and any number of them may come at once.
        padding: How the graph scales and pads images, if at all.
        decide: Whether outputs are predictions in place of maps.
        source: What the description says of config and checkpoint.
        suffix: The format, see :data:`~mmbmtas.deploy.formats.SUFFIXES`.

    Raises:
        InputError: The network is a supernet, has no such task, or does what torch cannot export;
            the format has no sizes that are not fixed; or the package onnx is missing.
    """
    if isinstance(network, SearchEncoderDecoder | PathSearchEncoderDecoder):
        raise InputError(
            'a supernet cannot be exported, since it holds every candidate: write its tree by '
            'tools/export_architecture.py CHECKPOINT -o architecture.json, train that with a '
            'config such as configs/branched_scenes.py or configs/mpnas/paths_pocket.py, and '
            'export the trained network'
        )
    tasks = _require_tasks(network, tasks)
    if shape is None:
        shape = network.cost_shape if padding is None else padding.image_shape(network.cost_shape)
    graph = ImageNetwork(network, tasks, padding, decide).eval()
    traced = trace(graph, shape, dynamic, suffix)
    description = _describe(graph, traced.types, meta, shape, dynamic, source or {})
    return ExportedNetwork(traced.serialise(description), description, suffix)


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


def _describe(
    graph: ImageNetwork,
    types: Mapping[str, str],
    meta: Mapping[str, Any],
    shape: tuple[int, int],
    dynamic: bool,
    source: Mapping[str, Any],
) -> Document:
    """Describe a graph whose outputs have some types."""
    network, padding = graph.network, graph.padding
    seen = padding.network_shape(shape) if padding else shape
    tree, madds = _costs(network, graph.tasks, seen)
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
        'padding': padding and _describe_padding(padding),
        'postprocess': 'decision' if graph.decide else 'none',
        'precision': 'float32',
        'tasks': {task: _describe_task(graph, task, kind, meta) for task, kind in types.items()},
        'backbone': type(network.backbone).__name__,
        'encoder': network.backbone.encoder.to_config(),
        'architecture': tree and tree.to_dict(),
        'madds': madds and {'shape': [*seen], 'network': madds},
        'source': {**source, 'mmbmtas': __version__, 'torch': torch.__version__},
    }


def _describe_padding(padding: Padding) -> Document:
    found = {'size': [*padding.size], 'divisor': padding.divisor, 'value': PAD_VALUE}
    return found if padding.scale == 1 else {'scale': float(padding.scale), **found}


def _describe_task(graph: ImageNetwork, task: str, kind: str, meta: Mapping[str, Any]) -> Document:
    head = graph.network.decode_heads[task]
    unit = (meta.get('units') or {}).get(task) or ('m' if task == 'depth' else None)
    classes, palette = ((meta.get(key) or {}).get(task) for key in ('classes', 'palette'))
    return {
        'output': head.output,
        'channels': head.num_classes,
        'holds': _HOLDS[head.output][graph.decide],
        'type': kind,
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
