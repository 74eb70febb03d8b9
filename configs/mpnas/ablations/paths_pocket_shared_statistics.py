# Train a network of paths whose domains share running statistics, which then fit none of them.
#
#   python tools/train.py configs/mpnas/ablations/paths_pocket_shared_statistics.py
_base_ = '../paths_pocket.py'

model = dict(backbone=dict(norm_statistics='shared'))
