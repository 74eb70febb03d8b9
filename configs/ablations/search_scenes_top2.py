# Ablation of search_scenes.py: the two candidates with the largest weights run for each task.
#
#   python tools/train.py configs/ablations/search_scenes_top2.py
#
# This departs from the paper. TopKRouting in mmbmtas/models/backbones/routing.py describes its
# gradient. Relaxed iterations run two candidates per layer and task, where search_scenes.py runs
# five.
_base_ = '../search_scenes.py'

model = dict(backbone=dict(routing=dict(type='TopKRouting', k=2)))
