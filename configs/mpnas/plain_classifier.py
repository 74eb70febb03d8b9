# Train one domain's path as the backbone of a plain classifier of MMPretrain.
#
#   python tools/train.py configs/mpnas/plain_classifier.py \
#       --cfg-options architecture=work_dirs/search_decathlon/architecture.json
#
# Classifier, neck, head, loss and metric are MMPretrain's; only the backbone and the data set are
# from this package. The images are those of dtd in the Visual Decathlon.
custom_imports = dict(imports=['mmbmtas'], allow_failed_imports=False)
default_scope = 'mmpretrain'

data_root = 'data/decathlon'
architecture = 'configs/architectures/decathlon_paths.json'  # override it with the file of a search
total_batch_size = 64  # over all ranks
max_iters = 10000

_pack = dict(
    type='KeyMapper',
    mapping=dict(gt_label='gt_dtd'),
    auto_remap=False,
    transforms=[dict(type='PackInputs')],
)
_dataset = dict(type='mmbmtas.VisualDecathlon', domain='dtd')
train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        **_dataset,
        split='train',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomCrop', crop_size=64),
            dict(type='RandomFlip', prob=0.5),
            _pack,
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **_dataset,
        split='val',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='CenterCrop', crop_size=64),
            _pack,
        ],
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ClsDataPreprocessor',
        mean=[127.5] * 3,
        std=[127.5] * 3,
        to_rgb=True,
        num_classes=47,
    ),
    backbone=dict(type='mmbmtas.PathNetwork', task='dtd'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=47,
        in_channels=960,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-3, weight_decay=1e-4),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=0.0, begin=0, by_epoch=False),
]
train_cfg = dict(type='mmbmtas.IterBasedTrainLoop', val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
