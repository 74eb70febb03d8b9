# Ablation of search_pascal.py: one sampled candidate runs for each task, instead of a sum of all.
#
#   python tools/train.py configs/ablations/search_pascal_hard.py
#
# This departs from the paper: it is straight-through Gumbel. HardRouting in
# mmbmtas/models/backbones/routing.py describes its gradient and what the gradient misses. Relaxed
# iterations run one candidate per layer and task, where search_pascal.py runs five.
_base_ = '../search_pascal.py'

model = dict(backbone=dict(routing=dict(type='HardRouting')))
