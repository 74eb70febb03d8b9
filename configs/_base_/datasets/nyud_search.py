# NYUD-v2 as used in the search: whole samples at two thirds of their size (283 x 373). Evaluation
# is that of nyud.py, at the original size.
_base_ = './nyud.py'

crop_size = (283, 373)
train_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='LoadNYUDv2Labels'),
    dict(type='ResizeSample', scale_factor=2 / 3),
    dict(type='RandomScale', scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
    dict(type='PadToSize', size=crop_size),
    dict(type='RandomCropSample', size=crop_size),
    dict(type='RandomFlipSample', prob=0.5),
    dict(type='PackMultiTaskInputs'),
]
# The search iterates over its two splits in turn, so samplers must be finite.
train_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
