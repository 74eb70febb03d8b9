"""Networks: encoders, backbones, decoders, losses and segmentors."""

from . import backbones, decode_heads, encoders, losses, segmentors

__all__ = ['backbones', 'decode_heads', 'encoders', 'losses', 'segmentors']
