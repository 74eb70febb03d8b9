"""The loops of search and training."""

from .search_loop import BranchedSearchLoop, split_dataset
from .search_plan import Phase, Position, SearchPlan
from .similarity_search import SimilaritySearchLoop
from .train_loop import IterBasedTrainLoop

__all__ = [
    'BranchedSearchLoop',
    'IterBasedTrainLoop',
    'Phase',
    'Position',
    'SearchPlan',
    'SimilaritySearchLoop',
    'split_dataset',
]
