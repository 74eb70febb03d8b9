"""Segmentors of several tasks."""

from .domain_encoder_decoder import DomainEncoderDecoder
from .multi_task_encoder_decoder import MultiTaskEncoderDecoder
from .path_search_encoder_decoder import PathSearchEncoderDecoder
from .search_encoder_decoder import SearchEncoderDecoder
from .single_networks import load_single_networks
from .tta import MultiTaskTTAModel

__all__ = [
    'DomainEncoderDecoder',
    'MultiTaskEncoderDecoder',
    'MultiTaskTTAModel',
    'PathSearchEncoderDecoder',
    'SearchEncoderDecoder',
    'load_single_networks',
]
