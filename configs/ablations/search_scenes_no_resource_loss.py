# Ablation of search_scenes.py: no resource loss, only the tasks' losses.
#
#   python tools/train.py configs/ablations/search_scenes_no_resource_loss.py
#
# Expect a tree close to all apart: 118 of 120 million multiply-adds with seed 0 on 400 images.
# Takes as long as search_scenes.py.
_base_ = '../search_scenes.py'

model = dict(resource_loss=dict(weight=0))
