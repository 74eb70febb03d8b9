# Ablation of search_scenes.py: no warm-up, so that all candidates start alike for all tasks.
#
#   python tools/train.py configs/ablations/search_scenes_no_warmup.py
#
# Shows what it is worth to tell the candidates apart before the search.
# The iterations of the weights stay as many. All are relaxed, which takes longer than
# search_scenes.py.
_base_ = '../search_scenes.py'

train_cfg = dict(warmup_iters=0)
