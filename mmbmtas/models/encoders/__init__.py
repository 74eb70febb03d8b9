"""Backbones cut into stem and layers. A new one is one small file beside these."""

from .base import CONTEXT, Encoder
from .building import build_encoder, check_fits
from .context import Context, ContextModule
from .dense_prediction_cell import DensePredictionCell
from .efficientnet_lite import EfficientNetLite0Encoder, EfficientNetLiteEncoder
from .mobilenet_v2 import MobileNetV2Encoder
from .plain import PlainEncoder
from .resnet import ResNetEncoder

__all__ = [
    'CONTEXT',
    'Context',
    'ContextModule',
    'DensePredictionCell',
    'EfficientNetLite0Encoder',
    'EfficientNetLiteEncoder',
    'Encoder',
    'MobileNetV2Encoder',
    'PlainEncoder',
    'ResNetEncoder',
    'build_encoder',
    'check_fits',
]
