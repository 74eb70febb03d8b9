# Search paths with a target of the parameters of all, which makes domains share nodes (ours).
#
#   python tools/train.py configs/mpnas/ablations/search_pocket_sharing.py
#
# The expected number is differentiated beside REINFORCE, so that its gradient has no noise.
_base_ = '../search_pocket.py'

train_cfg = dict(target_union_params=4e5, cost='expected', beta=-1.0)
