# Ablation of search_pascal.py: no warm-up, so the candidates do not differ between tasks at first.
#
#   python tools/train.py configs/ablations/search_pascal_no_warmup.py
#
# The paper mentions a bias towards sharing, and reports delta_m -2.49 %, compared with -1.74 % for
# its BMTAS-2 (Table 4.3). The number of weight iterations is unchanged. All of them are relaxed, so
# the search takes longer than search_pascal.py.
_base_ = '../search_pascal.py'

train_cfg = dict(warmup_iters=0)
