# Search for one path for all pocket domains (multi-head), with one common policy.
#
#   python tools/train.py configs/mpnas/ablations/search_pocket_common.py
_base_ = '../search_pocket.py'

model = dict(backbone=dict(policy=dict(type='CommonPolicy')))
