from .opening import check_holds, default_cache, find_variant
from .steps import LoadCachedSample

__all__ = ['LoadCachedSample', 'check_holds', 'default_cache', 'find_variant']
