"""Trained networks as ONNX files: written, verified, and run by ONNX Runtime."""

from .export import ExportedNetwork, export_onnx, export_places
from .extra import require
from .graph import Padding
from .model import OnnxModel, is_exported, use_exported
from .pipeline import padding_of
from .runtime import OnnxNetwork
from .verification import TOLERANCE, require_close, verify

__all__ = [
    'TOLERANCE',
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
    'use_exported',
    'verify',
]
