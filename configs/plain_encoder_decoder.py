# One task of a searched tree in plain MMSegmentation: mmseg's segmentor, head, loss and metric,
# with a branched network as its backbone.
#
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   python tools/train.py configs/plain_encoder_decoder.py
#   python tools/test.py configs/plain_encoder_decoder.py \
#       work_dirs/plain_encoder_decoder/iter_1000.pth
#
# `task` selects the branch: the backbone then holds only this task's layers. It returns two feature
# maps, one at stride 4 and one from the context module, in the form that mmseg's heads expect.
# Takes 1,000 iterations, some minutes on two CPU cores. This config is ours, not the paper's, for
# trying the method out.
custom_imports = dict(imports=['mmbmtas'], allow_failed_imports=False)
default_scope = 'mmseg'

architecture = 'configs/architectures/scenes.json'  # override it with the file of a search
total_batch_size = 8  # over all ranks
max_iters = 1000
data_root = 'data/scenes'
crop_size = (128, 128)
classes = [
    *('background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat'),
    *('chair', 'cow', 'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant'),
    *('sheep', 'sofa', 'train', 'tvmonitor'),
]

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.5] * 3,
        std=[127.5] * 3,
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=crop_size,
        test_cfg=dict(size_divisor=16),
    ),
    backbone=dict(type='mmbmtas.BranchedNetwork', task='semseg'),
    decode_head=dict(
        type='FCNHead',
        in_channels=[8, 64],
        in_index=[0, 1],
        input_transform='resize_concat',
        channels=32,
        num_convs=1,
        concat_input=False,
        num_classes=len(classes),
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg={},
    test_cfg=dict(mode='whole'),
)

# Our loading gives `gt_semseg`; mmseg's packing takes `gt_seg_map`.
pack = [
    dict(type='KeyMapper', mapping=dict(gt_seg_map='gt_semseg'), auto_remap=False),
    dict(type='PackSegInputs'),
]
train_pipeline = [
    dict(type='mmbmtas.LoadSampleImage'),
    dict(type='mmbmtas.LoadPascalContextLabels'),
    dict(type='mmbmtas.RandomScale', scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
    dict(type='mmbmtas.PadToSize', size=crop_size),
    dict(type='mmbmtas.RandomCropSample', size=crop_size),
    dict(type='mmbmtas.RandomFlipSample', prob=0.5),
    *pack,
]
test_pipeline = [
    dict(type='mmbmtas.LoadSampleImage'),
    dict(type='mmbmtas.LoadPascalContextLabels'),
    *pack,
]
dataset = dict(
    type='mmbmtas.PascalContextMT',
    tasks=['semseg'],
    metainfo=dict(classes=classes),
)
train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(**dataset, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='val', pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, by_epoch=False),
]
train_cfg = dict(type='IterBasedTrainLoop', val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)
visualizer = dict(
    type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer'
)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=500, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
