# NYUD-v2 with four tasks, for training and evaluating branched networks. The folder is an unpacked
# NYUD_MT archive, in any of its three packagings.
data_root = 'data/NYUD_MT'
cost_shape = (425, 560)  # costs are stated at this size
crop_size = (425, 560)

train_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='LoadNYUDv2Labels'),
    dict(type='RandomScale', scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
    dict(type='PadToSize', size=crop_size),
    dict(type='RandomCropSample', size=crop_size),
    dict(type='RandomFlipSample', prob=0.5),
    dict(type='PackMultiTaskInputs'),
]
# Only images are padded. Labels keep their size, and predictions are cropped to the image.
test_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='LoadNYUDv2Labels'),
    dict(type='PadToSize', divisor=16, pad_labels=False),
    dict(type='PackMultiTaskInputs'),
]
# tools/test.py --tta averages over these views of an image: three scales, each mirrored and not.
tta_pipeline = [
    *test_pipeline[:2],
    dict(
        type='mmcv.TestTimeAug',
        transforms=[
            [
                dict(type='mmbmtas.ViewImage', scale_factor=scale, flip=flip)
                for scale in (0.75, 1.0, 1.25)
                for flip in (False, True)
            ],
            [dict(type='mmbmtas.PadToSize', divisor=16, pad_labels=False)],
            [dict(type='mmbmtas.PackMultiTaskInputs')],
        ],
    ),
]

train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='mmbmtas.collate_in_block'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='NYUDv2MT', split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='NYUDv2MT', split='val', pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='mmbmtas.SemSegMetric', num_classes=40),
    dict(type='mmbmtas.DepthMetric'),
    dict(type='mmbmtas.NormalsMetric'),
    dict(type='mmbmtas.EdgePixelMetric'),
]
# The papers' boundary score. It takes about a second per image and core, so validation omits it.
test_evaluator = [*val_evaluator, dict(type='mmbmtas.OdsF', dataset='nyud')]
