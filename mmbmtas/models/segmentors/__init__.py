"""Segmentors of several tasks."""

from .multi_task_encoder_decoder import MultiTaskEncoderDecoder
from .search_encoder_decoder import SearchEncoderDecoder
from .single_networks import load_single_networks

__all__ = ['MultiTaskEncoderDecoder', 'SearchEncoderDecoder', 'load_single_networks']
