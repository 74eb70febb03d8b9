# Ablation of search_scenes.py: no resizing, images and crops as large as in retraining.
#
#   python tools/train.py configs/ablations/search_scenes_no_resizing.py
#
# Shows whether a search on images of half the size finds as good a tree.
# Crops of four times the area take about four times the time and memory of search_scenes.py.
_base_ = '../search_scenes.py'

crop_size = (128, 128)
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
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
