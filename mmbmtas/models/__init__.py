"""Networks: encoders, backbones, decoders and segmentors."""

from . import backbones, decode_heads, encoders, preprocessor, segmentors

__all__ = ['backbones', 'decode_heads', 'encoders', 'preprocessor', 'segmentors']
