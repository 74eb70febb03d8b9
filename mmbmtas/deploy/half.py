"""Exported networks in half precision."""

from .export import ExportedNetwork
from .extra import require


def to_half(exported: ExportedNetwork) -> ExportedNetwork:
    """Return an exported network whose weights and features are float16.

    Input and outputs keep their types. Interpolation stays in float32.

    Raises:
        InputError: ONNX Runtime, whose converter does it, is missing.
    """
    onnx = require('onnx')
    require('onnxruntime')
    converter = require('onnxruntime.transformers.float16')
    model = converter.convert_float_to_float16(
        onnx.load_from_string(exported.content), keep_io_types=True
    )
    return exported.with_model(model, precision='float16')
