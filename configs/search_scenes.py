# Search a branched network on the synthetic scenes: the whole method, small.
#
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   python tools/train.py configs/search_scenes.py \
#       --cfg-options model.resource_loss.target_madds=80e6
#
# Writes work_dirs/search_scenes/architecture.json, which branched_scenes.py retrains.
# Takes 130 iterations of the weights (50 of them warm-up) and 210 of the architecture.
#
# Differences from the paper's settings: the network is narrow, and crops are 64 x 64. Such a short
# search has few steps, so the architecture learns at a rate of 0.1 instead of 0.01 and on 70 % of
# the images. The weights learn by Adam at a rate of 1e-2, with a long warm-up; otherwise the tree
# would be decided before the supernet has learned anything (docs/results/scenes shows both). lambda
# is large for two reasons: it is per billion multiply-adds, of which these networks have only 0.05
# (shared) to 0.12 (all apart), and near the uniform start the penalty is almost flat. Without a
# budget, lambda alone decides, and such a short search then ends near one of these two extremes
# (docs/guide.md). The budget applies to the exported tree itself, which would otherwise be cheaper
# than the expectation.
_base_ = [
    './_base_/models/mobilenet_v2_scenes.py',
    './_base_/datasets/scenes_search.py',
    './_base_/schedules/search.py',
]

pretrained = None
total_batch_size = 8  # over all ranks
weight_iters = 130

model = dict(
    type='SearchEncoderDecoder',
    backbone=dict(type='BranchedSupernet'),
    resource_loss=dict(type='ResourceLoss', weight=1e3, budgeted='argmax'),
)
optim_wrapper = dict(
    weights=dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-2)),
    arch_params=dict(optimizer=dict(lr=0.1)),
)
train_cfg = dict(warmup_iters=50, arch_fraction=0.7)
param_scheduler = dict(weights=[])
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(interval=50),
)
