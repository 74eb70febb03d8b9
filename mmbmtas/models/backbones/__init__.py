"""Encoders of several tasks: the supernet of the search, and the tree it ends in."""

from .branched_network import BranchedNetwork, Features, build_encoder
from .branched_supernet import BranchedSupernet, copy_supernet_weights

__all__ = [
    'BranchedNetwork',
    'BranchedSupernet',
    'Features',
    'build_encoder',
    'copy_supernet_weights',
]
