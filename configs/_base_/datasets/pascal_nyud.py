# Two dense domains: PASCAL-Context (classes, human parts, saliency) and NYUD-v2 (depth, normals,
# edges). Folders are the unpacked archives PASCAL_MT and NYUD_MT.
cost_shape = (448, 448)
crop_size = (448, 448)
_scales = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
_augment = [
    dict(type='RandomScale', scales=_scales),
    dict(type='PadToSize', size=crop_size),
    dict(type='RandomCropSample', size=crop_size),
    dict(type='RandomFlipSample', prob=0.5),
]
_pad = dict(type='PadToSize', divisor=16, pad_labels=False)
_read = dict(
    pascal=[dict(type='LoadSampleImage'), dict(type='LoadPascalContextLabels')],
    nyud=[dict(type='LoadSampleImage'), dict(type='LoadNYUDv2Labels')],
)
_end = dict(
    pascal=[dict(type='IgnoreEmptyParts'), dict(type='PackMultiTaskInputs')],
    nyud=[dict(type='PackMultiTaskInputs')],
)
_sets = dict(
    pascal=dict(
        type='PascalContextMT',
        data_root='data/PASCAL_MT',
        tasks=['semseg', 'human_parts', 'saliency'],
    ),
    nyud=dict(type='NYUDv2MT', data_root='data/NYUD_MT', tasks=['depth', 'normals', 'edge']),
)

train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DomainSampler'),
    dataset=dict(
        type='ConcatDataset',
        domains=['pascal', 'nyud'],
        datasets=[
            dict(**_sets[name], split='train', pipeline=[*_read[name], *_augment, *_end[name]])
            for name in ('pascal', 'nyud')
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ConcatDataset',
        domains=['pascal', 'nyud'],
        datasets=[
            dict(
                **_sets[name],
                split='val',
                pipeline=[*_read[name], _pad, *_end[name]],
                test_mode=True,
            )
            for name in ('pascal', 'nyud')
        ],
    ),
)
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='mmbmtas.SemSegMetric', num_classes=21),
    dict(type='mmbmtas.HumanPartsMetric'),
    dict(type='mmbmtas.SaliencyMetric'),
    dict(type='mmbmtas.DepthMetric'),
    dict(type='mmbmtas.NormalsMetric'),
    dict(type='mmbmtas.EdgePixelMetric'),
]
test_evaluator = val_evaluator
