# Ablation of search_pascal.py: no warm-up, so that all candidates start alike for all tasks.
#
#   python tools/train.py configs/ablations/search_pascal_no_warmup.py
#
# The paper names a bias towards sharing, and reports delta_m -2.49 % where its BMTAS-2 has
# -1.74 % (Table 4.3).
# The iterations of the weights stay as many. All are relaxed, which takes longer than
# search_pascal.py.
_base_ = '../search_pascal.py'

train_cfg = dict(warmup_iters=0)
