# The Visual Decathlon: ten domains, images whose shorter side has 72 pixels. data_root holds
# annotations/ and data/, as its archives unpack. Digits, traffic signs and characters must not be
# mirrored, so no image is mirrored.
data_root = 'data/decathlon'
cost_shape = (64, 64)
_domains = (
    'imagenet12',
    'aircraft',
    'cifar100',
    'daimlerpedcls',
    'dtd',
    'gtsrb',
    'omniglot',
    'svhn',
    'ucf101',
    'vgg-flowers',
)

train_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='PadToSize', size=(64, 64)),
    dict(type='RandomCropSample', size=(64, 64)),
    dict(type='PackMultiTaskInputs'),
]
test_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='mmpretrain.CenterCrop', crop_size=64, auto_pad=True),
    dict(type='PackMultiTaskInputs'),
]

train_dataloader = dict(
    num_workers=8,
    persistent_workers=True,
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
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
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
    metrics=[dict(type='mmbmtas.Accuracy', task=domain.replace('-', '_')) for domain in _domains],
    reference='decathlon',
)
test_evaluator = val_evaluator
