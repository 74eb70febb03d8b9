# Search for paths by gradients through Gumbel-softmax samples, as BMTAS does, not by REINFORCE.
#
#   python tools/train.py configs/mpnas/ablations/search_pocket_gumbel.py
#
# Two candidates of each layer run, so an iteration takes about twice as long as with a sampled
# path.
_base_ = '../search_pocket.py'

train_cfg = dict(type='GumbelPathSearchLoop')
