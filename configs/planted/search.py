# The paper's search on a problem whose best tree is known (docs/results/planted).
#
#   python tools/train.py configs/planted/search.py --work-dir work_dirs/planted_search
#
# Writes work_dirs/planted_search/architecture.json. The planted tree separates a and c from b and d
# in all layers. Takes 600 iterations of the weights (200 of them warm-up) and 400 of the
# architecture, half a minute on a CPU. The budget is the planted tree's cost. As in
# search_scenes.py, the penalty holds the exported tree itself at the budget. The search is short,
# so the architecture learns at a rate of 0.1.
_base_ = ['../_base_/datasets/planted.py', '../_base_/schedules/search.py']

total_batch_size = 16  # over all ranks
weight_iters = 600

model = dict(
    type='SearchEncoderDecoder',
    backbone=dict(type='BranchedSupernet'),
    resource_loss=dict(type='ResourceLoss', weight=1.0, budgeted='argmax', target_madds=206848.0),
)
optim_wrapper = dict(
    weights=dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-2)),
    arch_params=dict(optimizer=dict(lr=0.1)),
)
train_cfg = dict(warmup_iters=200, arch_fraction=0.5)
param_scheduler = dict(weights=[])
default_hooks = dict(logger=dict(interval=100), checkpoint=dict(interval=10000))
