"""Backbones cut into stem and layers. A new one is one small file beside these."""

from .base import CONTEXT, Encoder
from .context import ContextModule
from .mobilenet_v2 import MobileNetV2Encoder
from .resnet import ResNetEncoder

__all__ = ['CONTEXT', 'ContextModule', 'Encoder', 'MobileNetV2Encoder', 'ResNetEncoder']
