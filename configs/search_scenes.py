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
# Where it differs from the paper's settings: a narrow network and 64 x 64 crops; since a search
# this short has few steps, the architecture learns at 0.1 instead of 0.01 and on 70 % of the
# images; the weights by Adam at 1e-2 after a long warm-up, or the tree would be decided before the
# supernet has learned anything (docs/results/scenes has both). lambda is large because it counts
# billions of multiply-adds: of these networks, which have 0.05 (shared) to 0.12 (all apart), and
# near the uniform start, where the penalty is almost flat. Without a budget, lambda alone decides,
# and so short a search then ends near one of the two (docs/guide.md). The budget holds the tree
# itself, which would be cheaper than the expectation.
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
