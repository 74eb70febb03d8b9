# Search for paths with separate weights for each candidate, instead of those of the largest one.
#
#   python tools/train.py configs/mpnas/ablations/search_pocket_separate.py
_base_ = '../search_pocket.py'

model = dict(backbone=dict(sharing='separate'))
