# Search paths with weights of its own for each candidate, rather than those of the largest.
#
#   python tools/train.py configs/mpnas/ablations/search_pocket_separate.py
_base_ = '../search_pocket.py'

model = dict(backbone=dict(sharing='separate'))
