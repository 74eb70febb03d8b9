"""Exported networks that compute with 8 bits."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbmtas.errors import InputError

from .description import INPUT
from .export import ExportedNetwork
from .extra import require

_PRODUCTS = ('Conv', 'Gemm', 'MatMul')


def to_int8(exported: ExportedNetwork, images: Iterable[NDArray[np.uint8]]) -> ExportedNetwork:
    """Quantise an exported network by ONNX Runtime, statically and with a scale for each channel.

    The ranges of the features are those on the images. Each decoder's last layer and what follows
    it stay in float32: they cost little, and 8 bits of a depth or a normal are too few. The file
    has pairs of QuantizeLinear and DequantizeLinear (QDQ), which other runtimes know too.

    Args:
        exported: The network in float32, an ONNX file.
        images: RGB ``(1, 3, H, W)``, of a size that the network takes.

    Raises:
        InputError: There is no image, or ONNX Runtime, which does it, is missing or fails.
    """
    onnx = require('onnx')
    quantization = require('onnxruntime.quantization')
    prepare = require('onnxruntime.quantization.shape_inference').quant_pre_process
    with tempfile.TemporaryDirectory() as folder:
        names = ('exported', 'float32', 'int8')
        source, plain, quantised = (Path(folder, f'{name}.onnx') for name in names)
        source.write_bytes(exported.content)
        prepare(str(source), str(plain), skip_symbolic_shape=True)
        try:
            quantization.quantize_static(
                str(plain),
                str(quantised),
                _reader(quantization, images),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                nodes_to_exclude=_last_nodes(onnx.load(plain)),
            )
        except ValueError as error:
            raise InputError(f'ONNX Runtime cannot quantise this network: {error}') from error
        model = onnx.load(quantised)
    return exported.with_model(model, precision='int8')


def _reader(quantization: Any, images: Iterable[NDArray[np.uint8]]) -> Any:
    """Give images as ONNX Runtime's calibration reads them, until None."""
    feeds: Iterator[dict[str, NDArray]] = ({INPUT: image} for image in images)

    class Reader(quantization.CalibrationDataReader):  # its metaclass asks for a class
        def get_next(self) -> dict[str, NDArray] | None:
            return next(feeds, None)

    return Reader()


def _last_nodes(model: Any) -> list[str]:
    """Name the last product before each output, and what stands between them."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found: dict[str, None] = {}
    waiting = [output.name for output in model.graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found[node.name] = None
        if node.op_type not in _PRODUCTS:
            waiting += node.input
    return [*found]
