"""The loops of search and training."""

from .branched_search_loop import BranchedSearchLoop
from .gumbel_path_loop import GumbelPathSearchLoop
from .path_search_loop import PathSearchLoop
from .reinforce_search_loop import ReinforceSearchLoop
from .search_loop import SearchLoop, split_dataset
from .search_plan import Phase, Position, SearchPlan
from .similarity_search import SimilaritySearchLoop
from .train_loop import IterBasedTrainLoop

__all__ = [
    'BranchedSearchLoop',
    'GumbelPathSearchLoop',
    'IterBasedTrainLoop',
    'PathSearchLoop',
    'Phase',
    'Position',
    'ReinforceSearchLoop',
    'SearchLoop',
    'SearchPlan',
    'SimilaritySearchLoop',
    'split_dataset',
]
