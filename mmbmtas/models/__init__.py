"""Networks: backbones, decoders and segmentors."""

from . import backbones, decode_heads, preprocessor, segmentors

__all__ = ['backbones', 'decode_heads', 'preprocessor', 'segmentors']
