"""The formats of exported networks: how a graph is traced, and what becomes the file."""

import copy
import inspect
import io
import json
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmbmtas.errors import InputError
from mmbmtas.models.inference import prepare_for_inference
from mmbmtas.structures.documents import Document

from .description import INPUT, to_metadata
from .extra import require
from .graph import ImageNetwork
from .pooling import PoolingByProducts
from .sessions import open_session

SUFFIXES = {'.onnx': 'ONNX', '.pt2': 'a program of torch.export', '.ts': 'TorchScript'}
"""What the ending of a file's name says of its format."""

OPSET = 17
"""Version of ONNX's operators: the newest that torch 2.1 writes."""

DESCRIPTION = 'mmbmtas.json'
"""Name of the description among the extra files of a file of torch's."""


@dataclass(frozen=True)
class Traced:
    """A graph in some format, not described yet.

    Attributes:
        types: Type of each output by task, such as ``float32``.
        serialise: From the description to the bytes of the file that holds both.
    """

    types: dict[str, str]
    serialise: Callable[[Document], bytes]


def trace(graph: ImageNetwork, shape: tuple[int, int], dynamic: bool, suffix: str) -> Traced:
    """Trace a graph on an image of some size.

    Args:
        graph: The graph in evaluation mode.
        shape: Height and width.
        dynamic: Whether sizes and number of the images are to stay free.
        suffix: The format, one of :data:`SUFFIXES`.

    Raises:
        InputError: Torch cannot export it, or not with free sizes; or the package onnx is missing.
    """
    image = torch.zeros(1, 3, *shape, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')  # what was read from a shape, and that it is TorchScript
        return _TRACERS[suffix](graph, image, dynamic)


def _trace_onnx(graph: ImageNetwork, image: Tensor, dynamic: bool) -> Traced:
    """Trace to ONNX, by TorchScript: with free sizes torch's newer exporter takes 50 times as long.

    TorchScript folds batch normalisations into convolutions.
    """
    onnx = require('onnx')
    axes: dict[str, dict[int, str]] = {}
    if dynamic:
        sizes = {0: 'batch', 2: 'height', 3: 'width'}
        heads = graph.network.decode_heads
        axes = {t: {0: 'batch'} if heads[t].output == 'label' else sizes for t in graph.tasks}
        axes[INPUT] = sizes
    model = to_onnx(graph, [image], [INPUT], graph.tasks, axes)
    if dynamic:
        session = open_session(model.SerializeToString(), ['CPUExecutionProvider'])
        _require_free_sizes(
            graph, image.shape[2:], lambda images: session.run(None, {INPUT: images.numpy()})
        )
    kind = onnx.helper.tensor_dtype_to_np_dtype
    types = {x.name: str(kind(x.type.tensor_type.elem_type)) for x in model.graph.output}

    def serialise(description: Document) -> bytes:
        decided = description['postprocess'] == 'decision'
        for output in model.graph.output:
            task = description['tasks'][output.name]
            one = decided and task['output'] == 'classes'
            output.type.tensor_type.shape.dim[1].dim_value = 1 if one else task['channels']
        return describe_onnx(model, description)

    return Traced(types, serialise)


def to_onnx(
    module: nn.Module,
    inputs: Sequence[Tensor],
    input_names: Sequence[str],
    output_names: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
) -> Any:
    """Trace a module in evaluation mode to an ONNX model.

    Args:
        module: The module.
        inputs: What to trace it on.
        input_names: Names of these.
        output_names: Names of what it returns.
        axes: Names of the sizes that are not fixed, by input or output and axis.

    Raises:
        InputError: Torch cannot export it, or the package onnx is missing.
    """
    onnx = require('onnx')
    options: dict[str, Any] = {'dynamic_axes': axes} if axes else {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        options['dynamo'] = False
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
                module,
                tuple(inputs),
                path,
                input_names=[*input_names],
                output_names=[*output_names],
                opset_version=OPSET,
                **options,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            hint = f'a fixed --shape, or {_NEWER}' if axes else _NEWER
            raise _refusal(error, hint) from error
        return onnx.load(path)


def describe_onnx(model: Any, description: Document) -> bytes:
    """Give an ONNX model its description as metadata; return the bytes of its file."""
    onnx = require('onnx')
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, to_metadata(description))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _trace_program(graph: ImageNetwork, image: Tensor, dynamic: bool) -> Traced:
    """Trace to a program of ``torch.export``."""
    if dynamic:
        raise InputError(
            'a program of torch.export (.pt2) has one size, since padding and pooling depend on '
            'it: leave --dynamic out, or write .onnx or .ts'
        )
    folded = _folded(graph)
    try:
        program = torch.export.export(folded, (image,)).run_decompositions({})  # no in-place steps
        program = torch.export.export(_without_dead_code(program.module()), (image,))
    except Exception as error:  # torch's have no base of their own
        raise _refusal(error, _NEWER) from error

    def serialise(description: Document) -> bytes:
        content = io.BytesIO()
        torch.export.save(program, content, extra_files={DESCRIPTION: json.dumps(description)})
        return content.getvalue()

    return Traced(_types(folded, image), serialise)


def _trace_script(graph: ImageNetwork, image: Tensor, dynamic: bool) -> Traced:
    """Trace to TorchScript; freezing folds normalisations and drops weights that are never used.

    Sizes are always free; the description says whether they were meant to be.
    """
    try:
        script: Any = torch.jit.freeze(torch.jit.trace(graph, (image,), check_trace=False))
    except RuntimeError as error:
        raise _refusal(error, _NEWER) from error
    if dynamic:
        _require_free_sizes(graph, image.shape[2:], script)

    def serialise(description: Document) -> bytes:
        content = io.BytesIO()
        torch.jit.save(script, content, _extra_files={DESCRIPTION: json.dumps(description)})
        return content.getvalue()

    return Traced(_types(graph, image), serialise)


def _require_free_sizes(
    graph: ImageNetwork, shape: Sequence[int], run: Callable[[Tensor], Sequence[Any]]
) -> None:
    """Refuse a network that computes numbers from sizes, which a trace holds as they were.

    Windows of attention and the padding of TensorFlow do so.

    Args:
        graph: The graph.
        shape: Height and width at which it was traced.
        run: Runs what it was traced to.

    Raises:
        InputError: On two images of another size the outputs are others.
    """
    least = graph.padding.size if graph.padding else (1, 1)
    height, width = (max(pair) + 21 | 1 for pair in zip(shape, least, strict=True))
    seed = torch.Generator().manual_seed(0)
    images = torch.randint(256, (2, 3, height, width), dtype=torch.uint8, generator=seed)
    try:
        same = all(map(_are_same, run(images), graph(images)))
    except Exception:  # of either runtime: it stumbles over the size
        same = False
    if not same:
        backbone = graph.network.backbone
        raise InputError(
            f'the sizes of images cannot be left free: a {type(backbone).__name__} of '
            f'{type(backbone.encoder).__name__} computes with them, and the file would go wrong on '
            f'{height} x {width} pixels. Leave --dynamic out, and export a file for each --shape'
        )


def _are_same(found: Any, expected: Tensor) -> bool:
    """Tell whether outputs agree up to rounding, which decides a few pixels otherwise."""
    difference = (torch.as_tensor(found).double() - expected).abs().mean()
    values = expected.double()
    if not expected.is_floating_point():
        return float(difference) <= 1e-2 * float(values.std())
    # Of a network that has learnt little, values may differ by less than they are rounded by.
    return float(difference) <= 1e-4 * float(values.std()) + 1e-6 * float(values.abs().max())


def _folded(graph: ImageNetwork) -> ImageNetwork:
    """Copy a graph and fold its batch normalisations, but for statistics of several domains."""
    graph = copy.deepcopy(graph)
    with suppress(InputError):
        prepare_for_inference(graph.network, fuse_conv_bn=True)
    return graph


def _without_dead_code(module: Any) -> Any:
    """Take the branches and decoders of tasks that are left out from a program's module."""
    module.graph.eliminate_dead_code()
    used = {node.target for node in module.graph.nodes if node.op == 'get_attr'}
    for name in {*module.state_dict()} - used:
        owner, _, key = name.rpartition('.')
        delattr(module.get_submodule(owner), key)
    module.recompile()
    return module


def _types(graph: ImageNetwork, image: Tensor) -> dict[str, str]:
    found = [str(output.dtype).removeprefix('torch.') for output in graph(image)]
    return dict(zip(graph.tasks, found, strict=True))


def _refusal(error: Exception, hint: str) -> InputError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(
        f'torch {torch.__version__} cannot export this network: {first:.300} ({hint})'
    )


_NEWER = 'a newer torch may help'
_TRACERS = {'.onnx': _trace_onnx, '.pt2': _trace_program, '.ts': _trace_script}
