"""The version of mmbmtas, in one place."""

__version__ = '0.2.0'
