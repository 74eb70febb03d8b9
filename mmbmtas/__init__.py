"""Branched multi-task architecture search on MMSegmentation."""

from mmbmtas import compat
from mmbmtas.version import __version__

compat.apply()

__all__ = ['__version__']
