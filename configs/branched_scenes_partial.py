# Train one network on two sets of synthetic scenes that are labelled for different tasks: one, in
# the layout of PASCAL-Context, for semantic classes, human parts, saliency and normals; the other,
# in the layout of NYUD-v2, for normals, edges and depth. Each image trains, and is scored on, only
# the tasks that it has labels for.
#
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   python tools/dataset_converters/synthetic_scenes.py data/scenes_nyud \
#       --layout nyud --train 400 --val 100 --seed 1
#   python tools/train.py configs/branched_scenes_partial.py
#   python tools/test.py configs/branched_scenes_partial.py \
#       work_dirs/branched_scenes_partial/iter_600.pth --show-dir sheets
#
# Takes as long as branched_scenes.py. Data sets of your own work in the same way: a task that two
# of them share must have the same classes in both. If the label files of single images are missing,
# set allow_missing_labels=True in their data set. A search takes the same train_dataloader with
# finite samplers.
_base_ = './branched_scenes.py'

architecture = 'configs/architectures/scenes_partial.json'

_pascal = dict(type='PascalContextMT', tasks=['semseg', 'human_parts', 'saliency', 'normals'])
_nyud = dict(type='NYUDv2MT', data_root='data/scenes_nyud', tasks=['normals', 'edge', 'depth'])
_load_nyud = [dict(type='LoadSampleImage'), dict(type='LoadNYUDv2Labels')]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(**_pascal, split='train', pipeline=_base_.train_pipeline),
            dict(**_nyud, split='train', pipeline=[*_load_nyud, *_base_.train_pipeline[3:]]),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(**_pascal, split='val', pipeline=_base_.test_pipeline, test_mode=True),
            dict(
                **_nyud,
                split='val',
                pipeline=[*_load_nyud, *_base_.test_pipeline[3:]],
                test_mode=True,
            ),
        ],
    ),
)
test_dataloader = val_dataloader

val_evaluator = [*_base_.val_evaluator, dict(type='mmbmtas.DepthMetric')]
test_evaluator = val_evaluator

model = dict(
    decode_heads=dict(
        depth=dict(
            type='DeepLabV3PlusHead',
            channels=32,
            low_level_channels=16,
            separable=True,
            num_classes=1,
            target_key='gt_depth',
            output='value',
            loss_decode=dict(type='DepthL1Loss', loss_weight=1.0),
        ),
    ),
)
