"""Segmentors of several tasks."""

from .multi_task_encoder_decoder import MultiTaskEncoderDecoder
from .search_encoder_decoder import SearchEncoderDecoder
from .single_networks import load_single_networks
from .tta import MultiTaskTTAModel

__all__ = [
    'MultiTaskEncoderDecoder',
    'MultiTaskTTAModel',
    'SearchEncoderDecoder',
    'load_single_networks',
]
