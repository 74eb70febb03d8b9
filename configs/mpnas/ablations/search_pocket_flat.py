# Search for paths with one softmax over all candidates of a layer, instead of separate decisions.
#
#   python tools/train.py configs/mpnas/ablations/search_pocket_flat.py
_base_ = '../search_pocket.py'

model = dict(backbone=dict(policy=dict(type='FlatPolicy')))
