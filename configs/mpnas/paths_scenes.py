# Train a network of paths on two dense domains of synthetic scenes.
#
#   python tools/train.py configs/mpnas/paths_scenes.py --work-dir work_dirs/mpnas_paths_scenes \
#       --cfg-options architecture=work_dirs/mpnas_search_scenes/architecture.json
#   python tools/infer.py configs/mpnas/paths_scenes.py work_dirs/mpnas_paths_scenes/iter_300.pth \
#       data/scenes/JPEGImages --domain pascal -o out/paths_scenes
#
# The network and the data are those of search_scenes.py.
_base_ = './search_scenes.py'

architecture = 'configs/architectures/scenes_paths.json'  # override it with the file of a search
max_iters = 300

model = dict(
    type='DomainEncoderDecoder',
    backbone=dict(type='PathNetwork'),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-3, weight_decay=1e-4),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=0.0, begin=0, by_epoch=False),
]
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', val_interval=300)
custom_hooks = []
weight_iters = None
