# Ablation of search_scenes.py: no warm-up, so the candidates do not differ between tasks at first.
#
#   python tools/train.py configs/ablations/search_scenes_no_warmup.py
#
# Shows how much it helps to let the candidates specialise before the search. The number of weight
# iterations is unchanged. All of them are relaxed, so the search takes longer than
# search_scenes.py.
_base_ = '../search_scenes.py'

train_cfg = dict(warmup_iters=0)
