"""Backbones cut into stem and layers. A new one is one small file beside these."""

from .base import CONTEXT, Encoder
from .building import build_encoder, check_fits
from .collapsed import CollapsedInvertedResidual
from .context import Context, ContextModule, NoContext
from .convnext import ConvNeXtEncoder
from .dense_prediction_cell import DensePredictionCell
from .efficientnet import EfficientNetEncoder
from .efficientnet_lite import EfficientNetLite0Encoder, EfficientNetLiteEncoder
from .mix_transformer import MixTransformerEncoder
from .mobilenet_v2 import MobileNetV2Encoder
from .mobilenet_v3 import MobileNetV3Encoder
from .mobilenet_v3_paths import MobileNetV3PathEncoder, PointwiseContext
from .plain import PlainEncoder
from .regnet import RegNetEncoder
from .resnet import ResNetEncoder
from .swin import SwinEncoder
from .timm_encoder import TimmEncoder

__all__ = [
    'CONTEXT',
    'CollapsedInvertedResidual',
    'Context',
    'ContextModule',
    'ConvNeXtEncoder',
    'DensePredictionCell',
    'EfficientNetEncoder',
    'EfficientNetLite0Encoder',
    'EfficientNetLiteEncoder',
    'Encoder',
    'MixTransformerEncoder',
    'MobileNetV2Encoder',
    'MobileNetV3Encoder',
    'MobileNetV3PathEncoder',
    'NoContext',
    'PlainEncoder',
    'PointwiseContext',
    'RegNetEncoder',
    'ResNetEncoder',
    'SwinEncoder',
    'TimmEncoder',
    'build_encoder',
    'check_fits',
]
