# Search for paths with an unweighted sum of the losses, without ABDP.
#
#   python tools/train.py configs/mpnas/ablations/search_pocket_no_abdp.py
_base_ = '../search_pocket.py'

model = dict(loss_balancing=None)
