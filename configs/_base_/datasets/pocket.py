# Pocket domains: small images that installed packages hold, in the Visual Decathlon's layout.
# tools/dataset_converters/pocket_domains.py writes the folder. Nothing is mirrored: digits and
# glyphs would change their meaning.
data_root = 'data/pocket'
cost_shape = (32, 32)
_domains = ('digits', 'faces', 'textures', 'glyphs', 'solids')

train_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='PadToSize', size=(36, 36)),
    dict(type='RandomCropSample', size=(32, 32)),
    dict(type='PackMultiTaskInputs'),
]
test_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='PackMultiTaskInputs'),
]

train_dataloader = dict(
    num_workers=0,
    sampler=dict(type='DomainSampler'),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(type='VisualDecathlon', domain=domain, split='train', pipeline=train_pipeline)
            for domain in _domains
        ],
    ),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='VisualDecathlon',
                domain=domain,
                split='val',
                pipeline=test_pipeline,
                test_mode=True,
            )
            for domain in _domains
        ],
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='DecathlonEvaluator',
    metrics=[dict(type='mmbmtas.Accuracy', task=domain) for domain in _domains],
)
test_evaluator = val_evaluator
