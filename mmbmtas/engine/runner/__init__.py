"""The search loop."""

from .search_loop import BranchedSearchLoop, split_dataset
from .search_plan import Phase, Position, SearchPlan

__all__ = ['BranchedSearchLoop', 'Phase', 'Position', 'SearchPlan', 'split_dataset']
