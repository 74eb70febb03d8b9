# PASCAL-Context with five tasks, for training and evaluating branched networks. The folder is the
# unpacked PASCAL_MT.tgz.
data_root = 'data/PASCAL_MT'
cost_shape = (512, 512)  # costs are stated at this size
crop_size = (512, 512)

train_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='LoadPascalContextLabels'),
    dict(type='DeriveEdges'),
    dict(type='RandomScale', scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
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
    dict(type='PadToSize', size=(512, 512), pad_labels=False),
    dict(type='IgnoreEmptyParts'),
    dict(type='PackMultiTaskInputs'),
]
# tools/test.py --tta averages over these views of an image: three scales, each mirrored and not.
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
            [dict(type='mmbmtas.PadToSize', size=(512, 512), divisor=16, pad_labels=False)],
            [dict(type='mmbmtas.IgnoreEmptyParts')],
            [dict(type='mmbmtas.PackMultiTaskInputs')],
        ],
    ),
]

train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='mmbmtas.collate_in_block'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='PascalContextMT', split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='PascalContextMT', split='val', pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='mmbmtas.SemSegMetric', num_classes=21),
    dict(type='mmbmtas.HumanPartsMetric'),
    dict(type='mmbmtas.SaliencyMetric'),
    dict(type='mmbmtas.NormalsMetric'),
    dict(type='mmbmtas.EdgePixelMetric'),
]
# The papers' boundary score. It takes about a second per image and core, so validation omits it.
test_evaluator = [*val_evaluator, dict(type='mmbmtas.OdsF', dataset='pascal')]
