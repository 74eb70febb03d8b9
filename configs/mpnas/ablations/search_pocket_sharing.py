# Search for paths with a target for the parameters of all, which makes domains share nodes (ours).
#
#   python tools/train.py configs/mpnas/ablations/search_pocket_sharing.py
#
# The expected number of parameters is differentiated directly, not by REINFORCE, so its gradient
# has no noise.
_base_ = '../search_pocket.py'

train_cfg = dict(target_union_params=4e5, cost='expected', beta=-1.0)
