"""Trained networks as ONNX files: written, verified, and run by ONNX Runtime."""

from .export import ExportedNetwork, export_onnx, export_places
from .extra import require
from .graph import Padding
from .half import to_half
from .model import OnnxModel, is_exported, use_exported
from .pipeline import padding_of
from .runtime import OnnxNetwork
from .verification import TOLERANCES, require_close, verify

__all__ = [
    'TOLERANCES',
    'ExportedNetwork',
    'OnnxModel',
    'OnnxNetwork',
    'Padding',
    'export_onnx',
    'export_places',
    'is_exported',
    'padding_of',
    'require',
    'require_close',
    'to_half',
    'use_exported',
    'verify',
]
