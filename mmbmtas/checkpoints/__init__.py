"""Reads checkpoints from any source without running code, and checks them before use."""

from .finite import network_weights, require_finite
from .fitting import require_fitting
from .packages import PREFIX, find_weights
from .plain import to_plain
from .reading import is_whole, looks_like_checkpoint, read_checkpoint
from .sources import load_from_local, register_loaders

__all__ = [
    'PREFIX',
    'find_weights',
    'is_whole',
    'load_from_local',
    'looks_like_checkpoint',
    'network_weights',
    'read_checkpoint',
    'register_loaders',
    'require_finite',
    'require_fitting',
    'to_plain',
]
