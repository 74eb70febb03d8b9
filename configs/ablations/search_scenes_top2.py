# Ablation of search_scenes.py: the two candidates with the largest sampled weights run for a task.
#
#   python tools/train.py configs/ablations/search_scenes_top2.py
#
# A departure from the paper, see TopKRouting in mmbmtas/models/backbones/routing.py for its
# gradient. Relaxed iterations run two candidates of a layer where search_scenes.py runs five.
_base_ = '../search_scenes.py'

model = dict(backbone=dict(routing=dict(type='TopKRouting', k=2)))
