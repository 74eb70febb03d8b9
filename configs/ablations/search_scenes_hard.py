# Ablation of search_scenes.py: one sampled candidate runs for each task, instead of a sum of all.
#
#   python tools/train.py configs/ablations/search_scenes_hard.py
#
# This departs from the paper: it is straight-through Gumbel. HardRouting in
# mmbmtas/models/backbones/routing.py describes its gradient and what the gradient misses. Relaxed
# iterations run one candidate per layer and task, where search_scenes.py runs five.
_base_ = '../search_scenes.py'

model = dict(backbone=dict(routing=dict(type='HardRouting')))
