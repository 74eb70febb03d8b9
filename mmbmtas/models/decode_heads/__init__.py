"""Decoders, one per task."""

from .deeplabv3plus_head import DeepLabV3PlusHead
from .label_head import LabelHead
from .map_decoder import MapDecoder
from .readout_head import ReadoutHead
from .task_head import TaskHead

__all__ = ['DeepLabV3PlusHead', 'LabelHead', 'MapDecoder', 'ReadoutHead', 'TaskHead']
