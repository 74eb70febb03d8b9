# Search paths with losses that are summed as they are, without ABDP.
#
#   python tools/train.py configs/mpnas/ablations/search_pocket_no_abdp.py
_base_ = '../search_pocket.py'

model = dict(loss_balancing=None)
