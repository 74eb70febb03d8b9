# Ablation of search_scenes.py: the paper's recursion (Eq. 6) instead of the exact expectation.
#
#   python tools/train.py configs/ablations/search_scenes_recursive.py
#
# The recursion overestimates the cost wherever tasks that have branched apart may agree again; see
# mmbmtas.cost.recursive_expected_madds. Takes as long as search_scenes.py.
_base_ = '../search_scenes.py'

model = dict(resource_loss=dict(expectation='recursive'))
