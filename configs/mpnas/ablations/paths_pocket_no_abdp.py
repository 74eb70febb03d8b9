# Train a network of paths with an unweighted sum of the losses, without ABDP.
#
#   python tools/train.py configs/mpnas/ablations/paths_pocket_no_abdp.py
_base_ = '../paths_pocket.py'

model = dict(loss_balancing=None)
