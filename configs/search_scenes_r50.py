# Search a branched ResNet-50 on the synthetic scenes: search_scenes.py, but shorter and with lower
# rates.
#
#   python tools/train.py configs/search_scenes_r50.py
#
# Writes work_dirs/search_scenes_r50/architecture.json, which branched_scenes_r50.py retrains. A
# full ResNet-50 supernet is meant for a GPU; search_scenes.py is meant for two CPU cores. These
# networks have 12 (shared) to 27 billion multiply-adds (all apart). lambda gives them the same
# weight as search_scenes.py gives to the cost of its networks. model.resource_loss.target_madds
# sets a budget.
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
