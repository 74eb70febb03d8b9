# Person parts of PASCAL (six parts and the background) for plain MMSegmentation, on the images of
# PASCAL-Context's release. Images without a person are ignored.
dataset_type = 'mmbmtas.PascalContextMT'
data_root = 'data/PASCAL_MT'
crop_size = (513, 513)
classes = ['background', 'head', 'torso', 'upper arm', 'lower arm', 'upper leg', 'lower leg']

# Our loading gives `gt_human_parts`; mmseg's packing takes `gt_seg_map`.
load = [
    dict(type='mmbmtas.LoadSampleImage'),
    dict(type='mmbmtas.LoadPascalContextLabels'),
]
pack = [
    dict(type='KeyMapper', mapping=dict(gt_seg_map='gt_human_parts'), auto_remap=False),
    dict(type='PackSegInputs'),
]
train_pipeline = [
    *load,
    dict(type='mmbmtas.RandomScale', scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
    dict(type='mmbmtas.PadToSize', size=crop_size),
    dict(type='mmbmtas.RandomCropSample', size=crop_size),
    dict(type='mmbmtas.RandomFlipSample', prob=0.5),
    dict(type='mmbmtas.IgnoreEmptyParts'),
    *pack,
]
test_pipeline = [*load, dict(type='mmbmtas.IgnoreEmptyParts'), *pack]

train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        split='train',
        tasks=['human_parts'],
        metainfo=dict(classes=classes),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        split='val',
        tasks=['human_parts'],
        metainfo=dict(classes=classes),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
