# Search a path for each of two dense domains of synthetic scenes, small enough for two CPU cores.
#
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   python tools/dataset_converters/synthetic_scenes.py data/scenes_nyud \
#       --layout nyud --train 400 --val 100 --style night
#   python tools/train.py configs/mpnas/search_scenes.py --work-dir work_dirs/mpnas_search_scenes
#
# The two folders stand for two data sets with different light and different labels. Writes
# work_dirs/mpnas_search_scenes/architecture.json, which paths_scenes.py trains.
_base_ = './search_pascal_nyud.py'

cost_shape = (128, 160)
total_batch_size = 8  # over all ranks; 4 of each domain
weight_iters = 200

_crop = [
    dict(type='RandomScale', scales=(0.5, 0.75, 1.0)),
    dict(type='PadToSize', size=(64, 64)),
    dict(type='RandomCropSample', size=(64, 64)),
    dict(type='RandomFlipSample', prob=0.5),
]
_train, _val = (_base_[f'{name}_dataloader'].dataset.datasets for name in ('train', 'val'))
_roots = ('data/scenes', 'data/scenes_nyud')
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        datasets=[
            dict(
                data_root=root,
                **{k: v for k, v in part.items() if k not in ('data_root', 'pipeline')},
                pipeline=[*part.pipeline[:2], *_crop, *part.pipeline[6:]],
            )
            for root, part in zip(_roots, _train, strict=True)
        ],
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        datasets=[
            dict(data_root=root, **{k: v for k, v in part.items() if k != 'data_root'})
            for root, part in zip(_roots, _val, strict=True)
        ],
    ),
)
test_dataloader = val_dataloader

model = dict(
    backbone=dict(
        encoder=dict(
            widen_factor=0.5,
            kernels=(3, 5),
            expansions=(2, 4),
            per_block=2,
            context=dict(channels=64),
        ),
    ),
    decode_heads={
        task: dict(channels=32, low_level_channels=16) for task in _base_.model.decode_heads
    },
)
optim_wrapper = dict(arch_params=dict(optimizer=dict(lr=0.03)))
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100))
