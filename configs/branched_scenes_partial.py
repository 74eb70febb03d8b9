# Train one network on two sets of synthetic scenes that are labelled for different tasks: one, in
# the layout of PASCAL-Context, for semantic classes, human parts, saliency and normals; the other,
# in the layout of NYUD-v2, for normals, edges and depth. An image trains the tasks it has labels
# for, and is scored in these alone.
#
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   python tools/dataset_converters/synthetic_scenes.py data/scenes_nyud \
#       --layout nyud --train 400 --val 100 --seed 1
#   python tools/train.py configs/branched_scenes_partial.py
#   python tools/test.py configs/branched_scenes_partial.py \
#       work_dirs/branched_scenes_partial/iter_600.pth --show-dir sheets
#
# Takes as long as branched_scenes.py. Data sets of one's own go the same way: a task that two of
# them share must have the same classes in both. Where single images lack a label's file, give their
# data set allow_missing_labels=True. A search takes the same train_dataloader with finite samplers.
_base_ = [
    './_base_/models/mobilenet_v2_scenes.py',
    './_base_/datasets/scenes.py',
    './_base_/schedules/scenes.py',
]

architecture = 'configs/architectures/scenes_partial.json'
pretrained = None
total_batch_size = 8  # over all ranks
cost_shape = (128, 160)

pascal_tasks = ['semseg', 'human_parts', 'saliency', 'normals']
nyud_tasks = ['normals', 'edge', 'depth']
nyud_train_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='LoadNYUDv2Labels'),
    *_base_.train_pipeline[3:],
]
nyud_test_pipeline = [
    dict(type='LoadSampleImage'),
    dict(type='LoadNYUDv2Labels'),
    *_base_.test_pipeline[3:],
]
pascal = dict(type='PascalContextMT', tasks=pascal_tasks)
nyud = dict(type='NYUDv2MT', data_root='data/scenes_nyud', tasks=nyud_tasks)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(**pascal, split='train', pipeline=_base_.train_pipeline),
            dict(**nyud, split='train', pipeline=nyud_train_pipeline),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(**pascal, split='val', pipeline=_base_.test_pipeline, test_mode=True),
            dict(**nyud, split='val', pipeline=nyud_test_pipeline, test_mode=True),
        ],
    ),
)
test_dataloader = val_dataloader

val_evaluator = [*_base_.val_evaluator, dict(type='mmbmtas.DepthMetric')]
test_evaluator = val_evaluator

depth_head = dict(
    **_base_.head,
    num_classes=1,
    target_key='gt_depth',
    output='value',
    loss_decode=dict(type='DepthL1Loss', loss_weight=1.0),
)
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='BranchedNetwork', encoder=_base_.encoder),
    decode_heads=dict(**_base_.decode_heads, depth=depth_head),
)
