"""Trained networks as files that run elsewhere: written, verified, and run by ONNX Runtime."""

from .export import ExportedNetwork, export_network, export_places
from .extra import require
from .graph import Padding
from .half import to_half
from .int8 import to_int8
from .model import OnnxModel, is_exported, use_exported
from .pipeline import padding_of
from .runtime import OnnxNetwork, load_exported
from .scoring import score
from .verification import TOLERANCES, require_close, verify

__all__ = [
    'TOLERANCES',
    'ExportedNetwork',
    'OnnxModel',
    'OnnxNetwork',
    'Padding',
    'export_network',
    'export_places',
    'is_exported',
    'load_exported',
    'padding_of',
    'require',
    'require_close',
    'score',
    'to_half',
    'to_int8',
    'use_exported',
    'verify',
]
