"""Errors of label files that can be read but are wrong."""

from mmbmtas.errors import InputError


class SizeError(InputError):
    """A label differs from its image in size."""


class RangeError(InputError):
    """A label holds values that are not allowed."""
