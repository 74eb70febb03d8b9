# Ablation of search_pascal.py: no resizing, images and crops as large as in retraining.
#
#   python tools/train.py configs/ablations/search_pascal_no_resizing.py
#
# The paper reports delta_m -1.77 %, compared with -1.74 % for its BMTAS-2 (Table 4.3). Crops of
# four times the area take about four times the time and memory of search_pascal.py.
_base_ = '../search_pascal.py'

crop_size = (512, 512)
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
