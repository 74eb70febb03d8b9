# Train a network of paths with losses that are summed as they are, without ABDP.
#
#   python tools/train.py configs/mpnas/ablations/paths_pocket_no_abdp.py
_base_ = '../paths_pocket.py'

model = dict(loss_balancing=None)
