"""Encoders of several tasks: the supernet, its tree, and networks to compare with."""

from .branched_network import BranchedNetwork
from .branched_supernet import BranchedSupernet, copy_supernet_weights
from .cross_stitch import CrossStitchNetwork, CrossStitchUnit
from .exchange_network import ExchangeNetwork
from .mtan import MTAN
from .nddr_cnn import NDDRCNN, NDDRLayer
from .protocols import Backbone, DomainBackbone, Features, PathBackbone, Supernet
from .routing import HardRouting, Routing, SoftRouting, ThresholdRouting, TopKRouting

__all__ = [
    'MTAN',
    'NDDRCNN',
    'Backbone',
    'BranchedNetwork',
    'BranchedSupernet',
    'CrossStitchNetwork',
    'CrossStitchUnit',
    'DomainBackbone',
    'ExchangeNetwork',
    'Features',
    'HardRouting',
    'NDDRLayer',
    'PathBackbone',
    'Routing',
    'SoftRouting',
    'Supernet',
    'ThresholdRouting',
    'TopKRouting',
    'copy_supernet_weights',
]
