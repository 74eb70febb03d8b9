# Synthetic scenes in the layout of PASCAL-Context, 128 x 160 pixels, for trying everything out.
# tools/dataset_converters/synthetic_scenes.py writes the folder. The scale augmentation is weaker
# than the paper's 0.5 to 2, because training is too short to learn all sizes.
_base_ = './pascal_context.py'

data_root = 'data/scenes'
cost_shape = (128, 160)
crop_size = (128, 128)

train_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='LoadPascalContextLabels'),
    dict(type='DeriveEdges'),
    dict(type='RandomScale', scales=(0.75, 1.0, 1.25, 1.5)),
    dict(type='PadToSize', size=crop_size),
    dict(type='RandomCropSample', size=crop_size),
    dict(type='RandomFlipSample', prob=0.5),
    dict(type='IgnoreEmptyParts'),
    dict(type='PackMultiTaskInputs'),
]
# Only images are padded. Labels keep their size, and predictions are cropped to the image.
test_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='LoadPascalContextLabels'),
    dict(type='DeriveEdges', method='boundary', keep_label_map=True),
    dict(type='PadToSize', divisor=16, pad_labels=False),
    dict(type='IgnoreEmptyParts'),
    dict(type='PackMultiTaskInputs'),
]
tta_pipeline = [
    *test_pipeline[:3],
    dict(
        type='mmcv.TestTimeAug',
        transforms=[
            [
                dict(type='mmbmtas.ViewImage', scale_factor=scale, flip=flip)
                for scale in (0.75, 1.0, 1.25)
                for flip in (False, True)
            ],
            [dict(type='mmbmtas.PadToSize', divisor=16, pad_labels=False)],
            [dict(type='mmbmtas.IgnoreEmptyParts')],
            [dict(type='mmbmtas.PackMultiTaskInputs')],
        ],
    ),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

test_evaluator = _base_.val_evaluator  # a training on scenes is too short for boundary scores
