# Search one path for all pocket domains (multi-head), by a policy that they have in common.
#
#   python tools/train.py configs/mpnas/ablations/search_pocket_common.py
_base_ = '../search_pocket.py'

model = dict(backbone=dict(policy=dict(type='CommonPolicy')))
