# Search for paths: weights learn by AdamW with a cosine schedule, policies by REINFORCE (TuNAS's
# settings).
_base_ = '../default_runtime.py'

optim_wrapper = dict(
    constructor='SearchOptimWrapperConstructor',
    weights=dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=3e-3, weight_decay=1e-4),
    ),
    arch_params=dict(
        type='OptimWrapper',
        optimizer=dict(type='Adam', lr=3e-4, betas=(0.0, 0.999), eps=1e-8),
    ),
)
param_scheduler = dict(
    weights=[dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False)],
    arch_params=[],
)
train_cfg = dict(type='PathSearchLoop', arch_fraction=0.2, split_seed=0)
custom_hooks = [
    dict(type='ArchitectureLoggerHook', interval=50),
    dict(type='ArchitectureExportHook'),
]
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
