# Search a branched ResNet-50 on the synthetic scenes: search_scenes.py, shorter and by lower rates.
#
#   python tools/train.py configs/search_scenes_r50.py
#
# Writes work_dirs/search_scenes_r50/architecture.json, which branched_scenes_r50.py retrains. A
# full ResNet-50 supernet is made for a GPU; search_scenes.py is the one for two CPU cores. lambda
# weighs the 12 (shared) to 27 billion multiply-adds (all apart) of these networks as much as
# search_scenes.py does those of its own; model.resource_loss.target_madds names a budget.
_base_ = [
    './_base_/models/resnet50_pascal_context.py',
    './_base_/datasets/scenes_search.py',
    './_base_/schedules/search.py',
]

pretrained = None
total_batch_size = 8  # over all ranks
cost_shape = (128, 160)  # the retraining size
weight_iters = 100

model = dict(
    type='SearchEncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='BranchedSupernet', encoder=_base_.encoder),
    decode_heads=_base_.decode_heads,
    resource_loss=dict(type='ResourceLoss', weight=5.0),
)
optim_wrapper = dict(
    weights=dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3)),
    arch_params=dict(optimizer=dict(lr=0.1)),
)
train_cfg = dict(warmup_iters=20, arch_fraction=0.7)
param_scheduler = dict(weights=[], arch_params=[])
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(interval=50),
)
