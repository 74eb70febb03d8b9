"""Choose trees and paths without training: the paper's baselines (section 4), by similarity."""

from mmbmtas.grouping.bmn import dissimilarity, grouping_costs, rsa_affinity
from mmbmtas.grouping.choice import permuted_trees, random_trees, vanilla_tree
from mmbmtas.grouping.fafs import branch_affinity, difficulty_affinity, fafs_tree
from mmbmtas.grouping.least_cost import least_cost_tree
from mmbmtas.grouping.likeliest_paths import likeliest_paths
from mmbmtas.grouping.similarity import FeatureMoments, most_similar_tree, scatter_costs
from mmbmtas.grouping.trees import Tree, count_trees, tree_madds

__all__ = [
    'FeatureMoments',
    'Tree',
    'branch_affinity',
    'count_trees',
    'difficulty_affinity',
    'dissimilarity',
    'fafs_tree',
    'grouping_costs',
    'least_cost_tree',
    'likeliest_paths',
    'most_similar_tree',
    'permuted_trees',
    'random_trees',
    'rsa_affinity',
    'scatter_costs',
    'tree_madds',
    'vanilla_tree',
]
