"""What else than being unreadable can be wrong with a label file."""

from mmbmtas.errors import InputError


class SizeError(InputError):
    """A label has another size than its image."""


class RangeError(InputError):
    """A label holds values that it may not."""
