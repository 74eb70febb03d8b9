"""Small domains of real images that installed packages hold, in the Visual Decathlon's layout."""

from .writer import DOMAINS, write_pocket_domains

__all__ = ['DOMAINS', 'write_pocket_domains']
