# Synthetic scenes as used in the search: whole samples at half their size, crops of 64, edges
# derived at the reduced size. Evaluation is that of scenes.py, at the original size.
_base_ = './scenes.py'

crop_size = (64, 64)
train_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='LoadPascalContextLabels'),
    dict(type='ResizeSample', scale_factor=0.5),
    dict(type='DeriveEdges'),
    dict(type='RandomScale', scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
    dict(type='PadToSize', size=crop_size),
    dict(type='RandomCropSample', size=crop_size),
    dict(type='RandomFlipSample', prob=0.5),
    dict(type='IgnoreEmptyParts'),
    dict(type='PackMultiTaskInputs'),
]
# The search iterates over its two splits in turn, so samplers must be finite.
train_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
