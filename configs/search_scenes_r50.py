# Search a branched ResNet-50 on the synthetic scenes: search_scenes.py, shorter and by lower rates.
#
#   python tools/train.py configs/search_scenes_r50.py
#
# Writes work_dirs/search_scenes_r50/architecture.json, which branched_scenes_r50.py retrains. A
# full ResNet-50 supernet is made for a GPU; search_scenes.py is the one for two CPU cores. lambda
# weighs the 12 (shared) to 27 billion multiply-adds (all apart) of these networks as much as
# search_scenes.py does those of its own; model.resource_loss.target_madds names a budget.
_base_ = './search_scenes.py'

weight_iters = 100

model = dict(
    backbone=dict(encoder=dict(_delete_=True, type='ResNetEncoder', depth=50)),
    decode_heads={
        task: dict(channels=256, low_level_channels=48, separable=False)
        for task in _base_.model.decode_heads
    },
    resource_loss=dict(_delete_=True, type='ResourceLoss', weight=5.0),
)
optim_wrapper = dict(weights=dict(optimizer=dict(lr=1e-3)))
train_cfg = dict(warmup_iters=20)
