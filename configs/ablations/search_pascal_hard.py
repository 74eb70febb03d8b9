# Ablation of search_pascal.py: one sampled candidate runs for a task, in place of a sum of all.
#
#   python tools/train.py configs/ablations/search_pascal_hard.py
#
# A departure from the paper: straight-through Gumbel, see HardRouting in
# mmbmtas/models/backbones/routing.py for what its gradient is and what it misses.
# Relaxed iterations run one candidate of a layer where search_pascal.py runs five.
_base_ = '../search_pascal.py'

model = dict(backbone=dict(routing=dict(type='HardRouting')))
