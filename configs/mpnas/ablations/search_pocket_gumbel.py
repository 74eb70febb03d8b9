# Search paths by gradients through Gumbel-softmax samples, as BMTAS does, rather than by REINFORCE.
#
#   python tools/train.py configs/mpnas/ablations/search_pocket_gumbel.py
#
# Two candidates of each layer run at a time: about twice the time of a sampled path.
_base_ = '../search_pocket.py'

train_cfg = dict(type='GumbelPathSearchLoop')
