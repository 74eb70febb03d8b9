"""Inference with a trained network on a user's own images."""

from .inferencer import MultiTaskInferencer
from .onnx_inferencer import OnnxInferencer
from .outputs import write_prediction
from .photo_inferencer import Outcome
from .photos import list_photos, read_photo
from .prediction import Prediction

__all__ = [
    'MultiTaskInferencer',
    'OnnxInferencer',
    'Outcome',
    'Prediction',
    'list_photos',
    'read_photo',
    'write_prediction',
]
