"""Segmentors of several tasks."""

from .multi_task_encoder_decoder import MultiTaskEncoderDecoder
from .search_encoder_decoder import SearchEncoderDecoder

__all__ = ['MultiTaskEncoderDecoder', 'SearchEncoderDecoder']
