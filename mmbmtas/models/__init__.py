"""Networks: backbones, decoders and segmentors."""

from . import backbones, decode_heads, segmentors

__all__ = ['backbones', 'decode_heads', 'segmentors']
