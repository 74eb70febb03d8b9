"""Decoders, one per task."""

from .deeplabv3plus_head import DeepLabV3PlusHead
from .label_head import LabelHead
from .readout_head import ReadoutHead
from .task_head import TaskHead

__all__ = ['DeepLabV3PlusHead', 'LabelHead', 'ReadoutHead', 'TaskHead']
